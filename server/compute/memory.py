"""Keeping a process that handles images of every size from growing, on glibc."""

import ctypes
from contextlib import suppress
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

LARGE_BYTES: Final = 1024 * 1024
KEPT_FREE_BYTES: Final = 4 * 1024 * 1024


def share_one_heap() -> None:
    """Has all threads allocate from one heap, where each would get its own as it comes.

    Requests are received in one thread and freed in another: with a heap each, what is free in them grows for
    many minutes, to as much as is in use. Before the threads are started.
    """
    _set(_M_ARENA_MAX, 1)


def return_large_blocks() -> None:
    """Has the memory of what is large given back to the system as soon as it is freed.

    By itself glibc takes ever larger blocks from its heap, up to 32 MB, once one such was freed; images of
    mixed sizes leave holes there that nothing fits. Does nothing where the C library is another.
    """
    _set(_M_MMAP_THRESHOLD, LARGE_BYTES)
    _set(_M_TRIM_THRESHOLD, KEPT_FREE_BYTES)


def _set(parameter: int, value: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(parameter, value)
