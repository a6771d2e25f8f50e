"""Keeping a process that handles images of every size from growing, on glibc."""

import ctypes
from contextlib import suppress
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

LARGE_BYTES: Final = 1024 * 1024
KEPT_FREE_BYTES: Final = 4 * 1024 * 1024


def return_large_blocks() -> None:
    """Has the memory of what is large given back to the system as soon as it is freed.

    By itself glibc takes ever larger blocks from its heap, up to 32 MB, once one such was freed; images of
    mixed sizes leave holes there that nothing fits. Does nothing where the C library is another.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_FREE_BYTES)
