"""What a folder of objects is, wherever it lies. `fovea.stores.storage` opens one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from mmap import mmap
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a listing. `etag` changes when the content does."""

    key: str
    size: int
    etag: str
    last_modified: datetime


class Folder(Protocol):
    """A folder of objects. Every method raises Unavailable when the store does not answer or refuses us."""

    uri: str

    @property
    def name(self) -> str:
        """The last segment of the URI."""

    def folder(self, key: str) -> "Folder":
        """The folder below this one."""

    def entries(self) -> Iterator[Entry]:
        """Every object below this folder, sorted by key. A folder that does not exist has none."""

    def children(self) -> list[str]:
        """The names of the folders directly below, sorted."""

    def exists(self, key: str) -> bool: ...

    def stat(self, key: str) -> Entry:
        """The object as a listing would show it, without reading it. Raises ObjectMissing."""

    def read(self, key: str, etag: str = "") -> bytes:
        """The whole object; with an `etag`, only if it still is the one that a listing gave.

        Raises ObjectMissing when there is no such object, ObjectChanged when it is another by now.
        """

    def beginning(self, key: str, size_bytes: int) -> bytes:
        """The object's first bytes, fewer where it ends before; it is not empty. Raises ObjectMissing."""

    def pieces(self, key: str) -> Iterator[bytes]:
        """The object from its beginning to its end, about a megabyte at a time. Raises ObjectMissing."""

    def write(self, key: str, data: bytes | mmap) -> None:
        """Writes the object whole or not at all, over what was there.

        A file that is mapped into memory is sent piece by piece, and never held in memory whole.
        """

    def put_if_absent(self, key: str, data: bytes | mmap) -> bool:
        """As `write`, unless the object exists. True when it was this call that wrote it."""

    def remove(self, key: str) -> None:
        """There need not be such an object."""
