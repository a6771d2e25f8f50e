"""Where a front puts images for who computes them: memory that all map, cut as images come and go."""

import mmap
from bisect import bisect_left
from contextlib import suppress
from typing import Final

KEPT_BYTES: Final = 8 * 1024 * 1024
"""Memory at the arena's start that stays though no image lies there; what is freed beyond goes back."""


class Arena:
    """Used by one thread. The lowest place that is large enough is taken: little memory is touched."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        """A file of that size, which is a multiple of the page's."""
        self._memory = mmap.mmap(descriptor, size_bytes)
        self._free: list[tuple[int, int]] = [(0, size_bytes)]
        """(start, end), from low to high; no two touch."""

    def put(self, content: bytes | memoryview) -> int | None:
        """Where it lies now, to be freed when nobody reads it any more; None where there is no room."""
        needed = whole_pages(len(content))
        for number, (start, end) in enumerate(self._free):
            if end - start >= needed:
                if end - start > needed:
                    self._free[number] = start + needed, end
                else:
                    del self._free[number]
                self._memory[start : start + len(content)] = content
                return start
        return None

    def free(self, start: int, length: int) -> None:
        """What `put` gave for so many bytes."""
        end = start + whole_pages(length)
        if start == end:
            return
        if end > KEPT_BYTES:
            with suppress(OSError):  # a kernel that cannot keeps it until the arena ends
                self._memory.madvise(mmap.MADV_REMOVE, start, end - start)
        number = bisect_left(self._free, (start, end))
        if number < len(self._free) and self._free[number][0] == end:
            end = self._free.pop(number)[1]
        if number and self._free[number - 1][1] == start:
            number -= 1
            start = self._free.pop(number)[0]
        self._free.insert(number, (start, end))


def whole_pages(length: int) -> int:
    return -(-length // mmap.PAGESIZE) * mmap.PAGESIZE


def size_of_arena(max_images: int, max_bytes: int) -> int:
    """For all that may be in flight, and a quarter more for what lies between; none is taken before use."""
    return whole_pages(max_bytes * 5 // 4) + max_images * mmap.PAGESIZE
