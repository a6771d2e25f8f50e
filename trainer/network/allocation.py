"""Let the C library keep the memory that tensors free, for the next step to take."""

import ctypes
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_TOP_PAD: Final = -2
M_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> None:
    """By default, glibc gives large blocks back to the kernel, and the next step pays for new pages.

    Training resnet34 on two CPU cores was seen to take 20 % less time with this: no page faults a step, not
    30,000. Elsewhere than on glibc it does nothing. The process keeps its largest use of memory to its end.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024)  # glibc takes no more
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 128 * 1024 * 1024)
