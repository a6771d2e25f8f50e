"""What glibc does with memory that was freed. Elsewhere than on glibc, none of this does anything."""

import ctypes
from contextlib import suppress
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

LARGE_BYTES: Final = 1024 * 1024
KEPT_FREE_BYTES: Final = 4 * 1024 * 1024

_LARGEST_MMAP_THRESHOLD: Final = 32 * 1024 * 1024
"""glibc takes no more."""


def share_one_heap() -> None:
    """Has all threads allocate from one heap, where each would get its own as it comes.

    Requests are received in one thread and freed in another: with a heap each, what is free in them grows for
    many minutes, to as much as is in use. Before the threads are started.
    """
    _set(_M_ARENA_MAX, 1)


def return_large_blocks() -> None:
    """Has the memory of what is large given back to the system as soon as it is freed.

    By itself glibc takes ever larger blocks from its heap, up to 32 MB, once one such was freed; images of
    mixed sizes leave holes there that nothing fits.
    """
    _set(_M_MMAP_THRESHOLD, LARGE_BYTES)
    _set(_M_TRIM_THRESHOLD, KEPT_FREE_BYTES)


def keep_freed_memory() -> None:
    """Has the memory of what was freed kept, for the next step of a training to take.

    By default large blocks go back to the kernel, and the next step pays for new pages. Training resnet34 on
    two CPU cores was seen to take 20 % less time with this: no page faults a step, not 30,000. The process
    keeps its largest use of memory to its end.
    """
    _set(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    _set(_M_TRIM_THRESHOLD, 2**31 - 1)
    _set(_M_TOP_PAD, 128 * 1024 * 1024)


def _set(parameter: int, value: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(parameter, value)
