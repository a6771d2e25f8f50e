"""A folder of one server, for what its compute processes share; the next one clears up if that was killed."""

import fcntl
import logging
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from fovea.errors import Unavailable

logger = logging.getLogger(__name__)

PREFIX: Final = "fovea-server-"
NEW_S: Final = 60.0
"""A folder younger than this may be one that its owner is about to lock."""


class PrivateFolder:
    """Made in the temporary folder, readable by this user alone, and locked as long as this process lives."""

    def __init__(self) -> None:
        """Raises Unavailable where there is no temporary folder that can be written to."""
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            self._lock: int | None = _lock(self.path)
        except OSError as error:
            raise Unavailable(f"no folder for temporary files: {error.strerror or error}") from error

    def size_bytes(self) -> int:
        """Of what is in it."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def remove(self) -> None:
        """Nothing in the folder can be opened after it."""
        shutil.rmtree(self.path, ignore_errors=True)
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def remove_abandoned() -> None:
    """Removes the folders of servers that were killed: a pod's /tmp outlives its containers."""
    with suppress(OSError):  # there is no temporary folder, or it cannot be listed
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with suppress(OSError):
                _remove_if_abandoned(folder)


def _lock(folder: Path) -> int:
    """Returns what holds the lock until it is closed. Where there are no locks, the folder is gone again."""
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        folder.rmdir()
        raise
    return descriptor


def _remove_if_abandoned(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        facts = os.fstat(descriptor)
        if facts.st_uid != os.geteuid() or time.time() - facts.st_mtime < NEW_S:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
        logger.info("removed what a server that was killed left", extra={"folder": str(folder)})
    finally:
        os.close(descriptor)
