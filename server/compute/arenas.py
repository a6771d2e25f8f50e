"""Memory that other processes write images to, and that a compute process reads them from.

Each is a file without a name that the server has open. A compute process opens it by the server's descriptor,
once, and then reads in place.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Final, NamedTuple

_PLACE: Final = struct.Struct("<QIQ")
MAPPED: Final = 32
"""Arenas that stay mapped; those that nobody writes to any longer are among them, for a while."""


class Place(NamedTuple):
    """Where an image lies."""

    arena: int
    """A number that no other arena of this server has, or had."""
    descriptor: int
    """The server's."""
    offset: int

    def packed(self, length: int) -> bytes:
        return _PLACE.pack(*self[:2], self.offset) + length.to_bytes(8, "little")


PLACE_BYTES: Final = _PLACE.size + 8


def own_descriptors() -> str:
    """Where other processes find what this one has open."""
    return f"/proc/{os.getpid()}/fd"


class Arenas:
    """Those of a server, as one of its compute processes reads them."""

    def __init__(self, descriptors: str) -> None:
        """`descriptors` is the server's `own_descriptors`."""
        self._descriptors = Path(descriptors)
        self._maps: dict[int, mmap.mmap] = {}

    @property
    def can_be_read(self) -> bool:
        """Some sandboxes do not let a process see what another has open."""
        try:
            any_one = next(self._descriptors.iterdir())
            any_one.readlink()
        except (OSError, StopIteration):
            return False
        return True

    def image_at(self, packed: bytes | memoryview) -> bytes:
        """A copy of the image, whose place and length `packed` tells. Raises OSError."""
        arena, descriptor, offset = _PLACE.unpack_from(packed)
        length = int.from_bytes(packed[_PLACE.size :], "little")
        return (self._maps.get(arena) or self._map(arena, descriptor))[offset : offset + length]

    def _map(self, arena: int, descriptor: int) -> mmap.mmap:
        while len(self._maps) >= MAPPED:
            self._maps.pop(next(iter(self._maps))).close()
        file = os.open(self._descriptors / str(descriptor), os.O_RDONLY)
        try:
            self._maps[arena] = mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ)
        finally:
            os.close(file)
        return mapped
