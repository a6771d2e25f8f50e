"""Decoded images, and batches of them in an order that the seed and the epoch fix.

On a CUDA device the next ones are read while it computes: one thread, no worker processes.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fovea.foreground import result_of
from fovea.images.preprocess import Pixels
from fovea.model.task import Task
from trainer.images.sources import Sample
from trainer.ranks.group import WHOLE, Share

Batch = tuple[Tensor, Tensor]
"""pixels uint8 [m, S, S, 3] of the rank's share and targets int64 [n], or [n, labels], of the whole batch, on
the device"""

Sampler = Literal["shuffle", "balanced"]
Order = npt.NDArray[np.int64]

PREFETCHED: Final = 2
"""Batches that wait, in memory that the device can copy from while it computes."""
_END: Final = object()

T = TypeVar("T")


@dataclass(frozen=True)
class Images:
    """Decoded images and where they came from, in the same order."""

    cache: Pixels
    """uint8 [rows, S, S, 3], memory-mapped; files that are left out have a row too"""
    rows: npt.NDArray[np.int64]
    """[n], the row of each image in `cache`"""
    targets: npt.NDArray[np.int64]
    """[n], indices of labels; of a multi-label data set [n, labels], 1 where an image has the label"""
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def task(self) -> Task:
        return "single" if self.targets.ndim == 1 else "multi"

    def chosen(self, indices: npt.NDArray[np.int64]) -> "Images":
        """These alone, of the same cache."""
        samples = tuple(self.samples[index] for index in indices)
        return Images(self.cache, self.rows[indices], self.targets[indices], samples)

    def pixels(self, indices: npt.NDArray[np.int64] | slice) -> Pixels:
        """uint8 [len(indices), S, S, 3], read from the cache file."""
        return self.cache[self.rows[indices]]


def steps_per_epoch(images: Images, batch_size: int) -> int:
    return max(1, len(images) // batch_size)


def training_batches(
    images: Images,
    batch_size: int,
    device: torch.device,
    *,
    seed: int,
    epoch: int,
    first_step: int = 0,
    sampler: Sampler = "shuffle",
    share: Share = WHOLE,
    parts: int = 1,
) -> Iterator[Batch]:
    """One epoch in random order, from `first_step` on. The order depends on nothing but seed and epoch.

    The rest that fills no batch is left for other epochs' orders to bring. The pixels are those of the
    rank's share of each of a batch's `parts`.
    """
    order = epoch_order(images.targets, seed, epoch, sampler)
    steps = range(first_step, steps_per_epoch(images, batch_size))
    batches = (order[step * batch_size : (step + 1) * batch_size] for step in steps)
    return _batches(images, batches, device, share, parts)


def endless_batches(
    images: Images,
    batch_size: int,
    device: torch.device,
    *,
    seed: int,
    sampler: Sampler = "shuffle",
    share: Share = WHOLE,
    parts: int = 1,
) -> Iterator[Batch]:
    """Epoch after epoch."""
    for epoch in itertools.count():
        yield from training_batches(
            images, batch_size, device, seed=seed, epoch=epoch, sampler=sampler, share=share, parts=parts
        )


def all_batches(
    images: Images, batch_size: int, device: torch.device, starts: range | None = None
) -> Iterator[Batch]:
    """Every image once, in order; of the batches those alone that begin at `starts`, if it is given."""
    if starts is None:
        starts = range(0, len(images), batch_size)
    return _batches(
        images, (np.arange(start, min(start + batch_size, len(images))) for start in starts), device
    )


def epoch_order(targets: npt.NDArray[np.int64], seed: int, epoch: int, sampler: Sampler) -> Order:
    """Indices of images, as many as there are. `shuffle` has each once; `balanced` each class as often."""
    generator = np.random.default_rng([seed, epoch])
    return generator.permutation(len(targets)) if sampler == "shuffle" else _balanced(targets, generator)


def _balanced(targets: npt.NDArray[np.int64], generator: np.random.Generator) -> Order:
    """Classes in equal parts; within one, an image comes again only when all others came as often."""
    classes = np.unique(targets)
    slots = generator.permutation(np.arange(len(targets)) % len(classes))
    order = np.empty(len(targets), np.int64)
    for number, target in enumerate(classes):
        places, members = np.flatnonzero(slots == number), np.flatnonzero(targets == target)
        rounds = -(-len(places) // len(members))
        drawn = np.concatenate([generator.permutation(members) for _ in range(rounds)] or [members])
        order[places] = drawn[: len(places)]
    return order


def _batches(
    images: Images, orders: Iterator[Order], device: torch.device, share: Share = WHOLE, parts: int = 1
) -> Iterator[Batch]:
    host = (
        (torch.from_numpy(images.pixels(_own(order, share, parts))), torch.from_numpy(images.targets[order]))
        for order in orders
    )
    return _prefetched(host, device) if device.type == "cuda" else host


def _own(order: Order, share: Share, parts: int) -> Order:
    return np.concatenate([order[part.own] for part in share.parts(len(order), parts)])


def _prefetched(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches on a CUDA device, in the same order; copies do not wait for the device."""
    pinned = ((pixels.pin_memory(), targets.pin_memory()) for pixels, targets in batches)
    for pixels, targets in read_ahead(pinned, PREFETCHED):
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
