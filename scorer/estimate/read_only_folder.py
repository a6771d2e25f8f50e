"""A folder to which nothing is written."""

from collections.abc import Callable
from typing import Any, cast

from fovea.stores.folder import Folder
from fovea.stores.storage import LocalFolder


def read_only(real: Folder, scratch: LocalFolder, see: Callable[[Folder, str], None]) -> Folder:
    """`real` to read from. What would be written to it lies in `scratch` for as long as `see` looks at it.

    `put_if_absent` does as if nobody had been first.
    """
    return cast("Folder", _ReadOnlyFolder(real, scratch, see))


class _ReadOnlyFolder:
    def __init__(self, real: Folder, scratch: LocalFolder, see: Callable[[Folder, str], None]) -> None:
        self._real, self._scratch, self._see = real, scratch, see

    def __getattr__(self, name: str) -> Any:
        """All that reads is the real folder's."""
        return getattr(self._real, name)

    def folder(self, key: str) -> Folder:
        return read_only(self._real.folder(key), self._scratch.folder(key), self._see)

    def write(self, key: str, data: bytes) -> None:
        self._scratch.write(key, data)
        self._see(self._scratch, key)
        (self._scratch.path / key).unlink()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.write(key, data)
        return True
