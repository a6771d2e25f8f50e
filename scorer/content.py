"""Which keys without an ending are images: told by their first bytes, as in training."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Final

from fovea.errors import ObjectMissing, ObjectUnreadable, Unavailable
from fovea.folder import Entry, Folder
from fovea.image_names import NO_ENDING, is_told_by_bytes
from fovea.kinds import TELLING_BYTES, begins_as_image
from fovea.ordered import Bound, ordered_map
from fovea.passed_over import PassedOver
from scorer.keys import LOOKUPS_AT_ONCE, LOST_AFTER_LOOKUPS, UNKNOWN
from scorer.manifest import PlannedImage

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
    planned = iter(planned)
    while batch := list(islice(planned, _BATCH)):
        others = _no_images(source, [image.entry for image in batch if _is_unsure(image)])
        for image in batch:
            if image.entry.key in others:
                left_out.add(image.entry.key, NO_ENDING)
            else:
                yield image


def _is_unsure(image: PlannedImage) -> bool:
    if image.carried is not None or not is_told_by_bytes(image.entry.key):
        return False
    return image.entry.last_modified != UNKNOWN  # its row says that it is not there


def _no_images(source: Folder, entries: list[Entry]) -> set[str]:
    """The keys of those that are none."""
    if not entries:
        return set()
    none, failed, failed_in_a_row, last = set[str](), 0, 0, None
    bound = Bound(2 * LOOKUPS_AT_ONCE)
    with closing(ordered_map(partial(_is_image, source), entries, LOOKUPS_AT_ONCE, bound)) as looked_into:
        for entry, is_image in zip(entries, looked_into, strict=True):
            failed_in_a_row = failed_in_a_row + 1 if isinstance(is_image, Unavailable) else 0
            if isinstance(is_image, Unavailable):
                if failed_in_a_row >= LOST_AFTER_LOOKUPS:
                    raise is_image
                failed, last = failed + 1, is_image
            elif not is_image:
                none.add(entry.key)
    if failed:
        logger.warning("could not be looked into, and taken for images: %d, the last: %s", failed, last)
    return none


def _is_image(source: Folder, entry: Entry) -> bool | Unavailable:
    try:
        return entry.size > 0 and begins_as_image(source.beginning(entry.key, TELLING_BYTES))
    except (ObjectMissing, ObjectUnreadable):
        return False
    except Unavailable as error:
        return error
