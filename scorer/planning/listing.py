"""The images that a run is to score: those below its source, or those that a file names."""

import fnmatch
import re
from collections.abc import Iterable, Iterator

from fovea.errors import DataInvalid
from fovea.images.names import IMAGE_GLOBS, LITTER, NO_ENDING, is_litter, kind_of
from fovea.images.passed_over import PassedOver
from fovea.stores.folder import Entry, Folder
from scorer.files.manifest import key_bytes
from scorer.files.plan import RunSpec
from scorer.planning.keys import look_up, read_keys


class Selection:
    """Of the source's images, those that the run scores, sorted by key.

    Once they are through, `left_out` has the keys that no glob of include matches. What systems leave beside
    images is matched by a glob that names it alone (`.thumbs/*.jpg`), as in a shell. Raises Unavailable;
    DataInvalid when the store lists its keys unsorted.

    With IMAGE_GLOBS, where nobody named globs, keys without an ending are selected too, whatever they are:
    `images_by_content` looks into them.
    """

    def __init__(self, source: Folder, spec: RunSpec) -> None:
        self._source, self._spec = source, spec
        self._included, self._excluded = _pattern(spec.include), _pattern(spec.exclude)
        self.looks_into = spec.include == IMAGE_GLOBS
        """Whether some of the keys may be no images."""
        self._litter = _pattern(tuple(filter(is_litter, spec.include)))
        self.left_out = PassedOver()

    def __iter__(self) -> Iterator[Entry]:
        if self._spec.keys is not None:
            keys = (key for key in read_keys(self._spec.keys) if self._takes(key, kind_of(key)))
            return look_up(self._source, keys)
        # Others may be unsorted: the marker of a folder, `cats/`, is listed as `cats` after `cats.jpg`.
        taken = (entry for entry in self._source.entries() if self._takes(entry.key, _kind(entry)))
        return _in_order(taken, self._source.uri)

    def _takes(self, key: str, kind: str) -> bool:
        by_content = kind == NO_ENDING and self.looks_into
        if not by_content and not (self._litter if is_litter(key) else self._included).match(key):
            self.left_out.add(key, kind)
            return False
        return not self._excluded.match(key)


def _kind(entry: Entry) -> str:
    """An empty object without an ending is what consoles make of a folder."""
    kind = kind_of(entry.key)
    return LITTER if kind == NO_ENDING and not entry.size else kind


def _in_order(entries: Iterable[Entry], uri: str) -> Iterator[Entry]:
    """What compares two listings key by key would lose images, or score them twice, if one were unsorted."""
    before: bytes | None = None
    for entry in entries:
        key = key_bytes(entry.key)
        if before is not None and key <= before:
            raise DataInvalid(
                f"{uri}: this store does not list its keys sorted ({entry.key!r} comes after "
                f"{before.decode('utf-8', 'backslashreplace')!r}); name them in a file instead, by --keys"
            )
        yield entry
        before = key


def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    """Matches what one of the globs matches, in either case; without a glob, nothing."""
    return re.compile("|".join(map(fnmatch.translate, globs)) or "(?!)", re.IGNORECASE)
