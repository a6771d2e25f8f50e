"""Which keys without an ending are images: told by their first bytes, as in training."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from fovea.errors import ObjectMissing, ObjectUnreadable, Unavailable
from fovea.images.kinds import TELLING_BYTES, begins_as_image
from fovea.images.names import NO_ENDING, is_decided_by_bytes
from fovea.images.passed_over import PassedOver
from fovea.ordered import Window, ordered_map
from fovea.stores.folder import Entry, Folder
from scorer.files.manifest import PlannedImage
from scorer.planning.keys import LOOKUPS_AT_ONCE, LOST_AFTER_LOOKUPS, UNKNOWN

NOT_GIVEN: Final = "without an ending that the store does not give"
"""The kind of what is archived, or has a key that cannot be asked for: nobody can tell what it is."""

logger = logging.getLogger(__name__)

_BATCH: Final = 1024


def images_by_content(
    planned: Iterable[PlannedImage], source: Folder, left_out: PassedOver
) -> Iterator[PlannedImage]:
    """In their order, all but those without an ending that do not begin as an image: they are left out.

    One ranged read each, many at a time; none for what is carried forward, which was read before. What
    cannot be told, since the store failed, stays: its row will say why. Raises Unavailable when it is the
    store that fails, and not a few of its objects.
    """
    planned, failures = iter(planned), _Failures()
    while batch := list(islice(planned, _BATCH)):
        others = _no_images(source, [image.entry for image in batch if _is_unsure(image)], failures)
        for image in batch:
            if kind := others.get(image.entry.key):
                left_out.add(image.entry.key, kind)
            else:
                yield image
    if failures.last:
        text = "could not be looked into, and taken for images: %d, the last: %s"
        logger.warning(text, failures.count, failures.last)


@dataclass
class _Failures:
    """Of a whole plan: the keys without an ending may lie far apart."""

    count: int = 0
    in_a_row: int = 0
    last: Unavailable | None = None

    def see(self, kind: str | Unavailable) -> None:
        """Raises the failure that is one too many."""
        if isinstance(kind, str):
            self.in_a_row = 0
            return
        self.count, self.in_a_row, self.last = self.count + 1, self.in_a_row + 1, kind
        if self.in_a_row >= LOST_AFTER_LOOKUPS:
            raise kind


def _is_unsure(image: PlannedImage) -> bool:
    if image.carried is not None or not is_decided_by_bytes(image.entry.key):
        return False
    return image.entry.last_modified != UNKNOWN  # its row says that it is not there


def _no_images(source: Folder, entries: list[Entry], failures: _Failures) -> dict[str, str]:
    """The keys of those that are none, or that nobody can tell -> what they count as."""
    if not entries:
        return {}
    none = dict[str, str]()
    window = Window(2 * LOOKUPS_AT_ONCE)
    with closing(ordered_map(partial(_kind, source), entries, LOOKUPS_AT_ONCE, window)) as looked_into:
        for entry, kind in zip(entries, looked_into, strict=True):
            failures.see(kind)
            if kind and isinstance(kind, str):
                none[entry.key] = kind
    return none


def _kind(source: Folder, entry: Entry) -> str | Unavailable:
    """Empty for an image."""
    try:
        is_image = entry.size > 0 and begins_as_image(source.beginning(entry.key, TELLING_BYTES))
    except ObjectUnreadable:
        return NOT_GIVEN
    except ObjectMissing:
        return NO_ENDING
    except Unavailable as error:
        return error
    return "" if is_image else NO_ENDING
