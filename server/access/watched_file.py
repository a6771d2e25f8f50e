"""A small file that says who may call: read again where it has changed."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from fovea.errors import DataInvalid, FoveaError, Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_EVERY_S: Final = 1.0
"""What was taken out of the file holds for so long."""
MAX_FILE_BYTES: Final = 1024 * 1024


class WatchedFile(Generic[T]):
    """What a file holds, as `parse` makes it of its contents.

    Whoever replaces it (Kubernetes swaps a link, others write in place) need not restart the server. Belongs
    to the event loop that asks it: a read of a small local file once a second holds up nobody.
    """

    def __init__(
        self, option: str, path: Path, what: str, parse: Callable[[bytes], T], clock: Callable[[], float]
    ) -> None:
        """`option` names it, `what` it holds; `parse` raises DataInvalid, whose text goes on from the path.

        Raises Unavailable for a file that cannot be read, DataInvalid for one that is of no use.
        """
        self._named = f"{option} {path}"
        self._path = path
        self._what = what
        self._parse = parse
        self._clock = clock
        self._contents = self._read()
        self._held = self._parsed(self._contents)
        self._looked = clock()
        self._complaint = ""
        self.changes = 0

    def look(self) -> T:
        """Compares contents, at most once a second: times can lie."""
        now = self._clock()
        if now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            try:
                self._take(self._read())
            except FoveaError as error:
                self._complain(str(error))
            else:
                self._complaint = ""
        return self._held

    def _take(self, contents: bytes) -> None:
        if contents == self._contents:
            return
        self._held = self._parsed(contents)
        self._contents = contents
        self.changes += 1
        logger.info("%s replaced", self._what, extra={"path": str(self._path)})

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            logger.warning("the old %s are kept", self._what, extra={"error": complaint})
        self._complaint = complaint

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                contents = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise Unavailable(f"{self._named}: cannot be read: {error.strerror}") from error
        if len(contents) > MAX_FILE_BYTES:
            raise DataInvalid(f"{self._named}: has more than {MAX_FILE_BYTES} bytes")
        return contents

    def _parsed(self, contents: bytes) -> T:
        try:
            return self._parse(contents)
        except DataInvalid as error:
            raise DataInvalid(f"{self._named}{error}") from error
