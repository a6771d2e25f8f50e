"""The images that a run is to score: those below its source, or those that a file names."""

import fnmatch
import re
from collections.abc import Iterable, Iterator

from fovea.errors import DataInvalid
from fovea.folder import Entry, Folder
from scorer.keys import look_up, read_keys
from scorer.manifest import key_bytes
from scorer.plan import RunSpec


class Selection:
    """Of the source's images, those that the run scores, sorted by key.

    Once they are through, `left_out` says how many keys no glob of include matches. Raises Unavailable;
    DataInvalid when the store lists its keys unsorted.
    """

    def __init__(self, source: Folder, spec: RunSpec) -> None:
        self._source, self._spec = source, spec
        self._included, self._excluded = _pattern(spec.include), _pattern(spec.exclude)
        self.left_out = 0

    def __iter__(self) -> Iterator[Entry]:
        if self._spec.keys is not None:
            keys = filter(self._takes, read_keys(self._spec.keys))
            return look_up(self._source, keys)
        # Others may be unsorted: the marker of a folder, `cats/`, is listed as `cats` after `cats.jpg`.
        taken = (entry for entry in self._source.entries() if self._takes(entry.key))
        return _in_order(taken, self._source.uri)

    def _takes(self, key: str) -> bool:
        if not self._included.match(key):
            self.left_out += 1
            return False
        return not self._excluded.match(key)


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
