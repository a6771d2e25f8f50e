"""The next batches are read while the device computes: one thread, no worker processes."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import torch
from torch import Tensor

from fovea.foreground import result_of

DEPTH: Final = 2
"""Batches that wait, in memory that the device can copy from while it computes."""

_END: Final = object()

T = TypeVar("T")


def prefetched(
    batches: Iterator[tuple[Tensor, Tensor]], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches on a CUDA device, in the same order; copies do not wait for the device."""
    pinned = ((pixels.pin_memory(), targets.pin_memory()) for pixels, targets in batches)
    for pixels, targets in read_ahead(pinned, DEPTH):
        yield pixels.to(device, non_blocking=True), targets.to(device, non_blocking=True)


def read_ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items, `depth` of them made in advance by a thread that ends with the iteration.

    What `items` raises is raised here, in its place.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as reader:
        waiting = deque(reader.submit(next, items, _END) for _ in range(depth))
        while (item := result_of(waiting.popleft())) is not _END:
            waiting.append(reader.submit(next, items, _END))
            yield item  # type: ignore[misc]
