"""The processes that train one network together, as a training loop sees them: here one that is alone."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from fovea.stopping import Stopping

T = TypeVar("T")
P = ParamSpec("P")


FEWEST: Final = 2
"""Images that a rank computes at once: of one, batch norm has no statistics."""


@dataclass(frozen=True)
class Part:
    """Some images of a batch, and which of them are a rank's."""

    own: slice
    """in the batch"""
    count: int
    """how many all ranks have"""
    rows: slice
    """the rank's among these"""


@dataclass(frozen=True)
class Share:
    """What a rank computes of what all compute together."""

    rank: int = 0
    world: int = 1

    def rows(self, count: int) -> slice:
        """Of a batch of `count`: the ranks' parts follow one another and differ by one at most."""
        return slice(count * self.rank // self.world, count * (self.rank + 1) // self.world)

    def every(self, items: range) -> range:
        """Of whole batches: each rank has one in turn."""
        return items[self.rank :: self.world]

    def turns(self, items: range) -> int:
        """How many the rank with most has."""
        return -(-len(items) // self.world)

    def parts(self, count: int, parts: int) -> list[Part]:
        """Of a batch of `count` computed in at most `parts` parts; each rank has its share of each."""
        number = min(parts, max(1, count // (FEWEST * self.world)))
        size, larger = divmod(count, number)
        starts = [size * part + min(part, larger) for part in range(number + 1)]
        return [self._part(start, stop) for start, stop in pairwise(starts)]

    def _part(self, start: int, stop: int) -> Part:
        rows = self.rows(stop - start)
        return Part(slice(start + rows.start, start + rows.stop), stop - start, rows)


WHOLE: Final = Share()


class Ranks:
    """The ranks of a training; each makes the same calls in the same order. This is what one alone does.

    `trainer.ranks.together` is what several do.
    """

    share: Share = WHOLE
    local_rank: int | None = None
    """the rank's number on its machine, where there are several"""

    @property
    def is_first(self) -> bool:
        """The first one writes, prints and releases."""
        return self.share.rank == 0

    def wrapped(self, network: nn.Module) -> nn.Module:
        """The network for training, whose gradients are the mean over all ranks.

        It knows what is frozen as it is made: to be made anew wherever that changes.
        """
        return network

    def keeping(self, wrapped: object) -> AbstractContextManager[None]:
        """Inside, forward and backward, gradients are added up by each rank, and the mean is not made yet."""
        return nullcontext()

    def mean(self, values: Tensor) -> Tensor:
        """Over the ranks, detached."""
        return values.detach()

    def total(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The ranks' arrays added up."""
        return values

    def noise(self, use: str) -> AbstractContextManager[None]:
        """Inside, random numbers are this rank's own, as dropout wants it; outside, all ranks draw the same.

        What is drawn outside fixes what is inside, for each use otherwise: a checkpoint needs no generators
        of the other ranks.
        """
        return nullcontext()

    def equalise(self, network: nn.Module) -> None:
        """Parameters and buffers become the first rank's. (Statistics of batch norm are each rank's own.)"""

    def check(self) -> None:
        """Raises on all ranks what a signal wants that came to any; where all call it, see `agreeing`."""

    def agreeing(self, stopping: Stopping) -> AbstractContextManager[Stopping]:
        """Inside, signals wait for a `check`, or the end of what defers them, which all ranks come to."""
        return nullcontext(stopping)

    def first_does(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """The others do not wait for it."""
        call(*args, **kwargs)

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first rank makes, on all ranks, however long that takes: of types that load safely."""
        return make()

    @contextmanager
    def one_a_node_first(self) -> Iterator[None]:
        """On each machine one rank goes first; the others, after it, find what it left in the cache."""
        yield

    def meet(self) -> None:
        """Waits for the others, who are as far within a step."""

    def confirm(self, what: str, facts: Callable[[], dict[str, str]]) -> None:
        """Raises what `agreement.compare` does where a rank differs from the first, on all of them."""

    def follow(self) -> None:
        """For all but the first: waits for its end, which becomes theirs."""


ALONE: Final = Ranks()
