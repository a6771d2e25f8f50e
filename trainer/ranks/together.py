"""Several ranks: what `group.Ranks` promises, by torch.distributed.

Raises RuntimeErrors where another rank has gone: `hearing` makes of them what ended it.
"""

import gc
import hashlib
import io
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fovea.errors import Terminated
from fovea.stopping import Stopping, finish
from trainer.ranks import agreement, outcome
from trainer.ranks.averaging import average_in_rank_order
from trainer.ranks.board import Board
from trainer.ranks.group import Ranks

T = TypeVar("T")
P = ParamSpec("P")

INTERRUPTED: Final = 1
TERMINATED: Final = 2


@dataclass(frozen=True)
class Place:
    """Where a rank runs."""

    node: int
    """number of the machine"""
    local_rank: int
    """its number there"""


class Together(Ranks):
    """One of several ranks, whose group `joining` has made."""

    def __init__(self, place: Place, board: Board, device: torch.device) -> None:
        self.share = board.share
        self.place = place
        self.local_rank = place.local_rank
        self.board = board
        self._device = device
        self._stopping: Stopping | None = None
        self._agreed_to_stop = False

    def wrapped(self, network: nn.Module) -> nn.Module:
        gc.collect()  # the hooks of an earlier wrapping go with it, which may hold itself in a circle
        with warnings.catch_warnings():  # torch 2.14 has another name for it that 2.11 does not know
            warnings.simplefilter("ignore", FutureWarning)
            wrapped = DistributedDataParallel(network, broadcast_buffers=False, gradient_as_bucket_view=True)
        if self.share.world > 2 and self._device.type == "cpu":  # the sum of two is the same either way round
            wrapped.register_comm_hook(self.share.world, average_in_rank_order)
        return wrapped

    def keeping(self, wrapped: object) -> AbstractContextManager[None]:
        kept: AbstractContextManager[None] = cast("DistributedDataParallel", wrapped).no_sync()
        return kept

    def mean(self, values: Tensor) -> Tensor:
        return self._sum(values.detach()) / self.share.world

    def total(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        summed: npt.NDArray[np.float32] = self._sum(torch.from_numpy(values)).numpy()
        return summed

    def _sum(self, values: Tensor) -> Tensor:
        # A copy that is contiguous: a collective takes the memory of a strided view in the order it lies in.
        summed = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed

    @contextmanager
    def noise(self, use: str) -> Iterator[None]:
        on_cpu, on_device = torch.get_rng_state(), _device_state(self._device)
        drawn = on_cpu if on_device is None else on_device
        digest = hashlib.sha256(drawn.numpy().tobytes() + f"{self.share.rank} {use}".encode()).digest()
        torch.manual_seed(int.from_bytes(digest[:7], "little"))
        try:
            yield
        finally:
            torch.set_rng_state(on_cpu)
            if on_device is not None:
                torch.cuda.set_rng_state(on_device, self._device)

    @torch.no_grad()
    def equalise(self, network: nn.Module) -> None:
        for tensor in (*network.parameters(), *network.buffers()):
            same = tensor.detach().clone(memory_format=torch.contiguous_format)
            dist.broadcast(same, 0)
            tensor.copy_(same)

    def check(self) -> None:
        if self._stopping is None or self._agreed_to_stop:
            return
        wanted = torch.tensor(_number(self._stopping.due), dtype=torch.int64)
        dist.all_reduce(wanted, dist.ReduceOp.MAX)
        if wanted.item():
            self._agreed_to_stop = True
            raise self._stopping.due or _stop(int(wanted.item()))

    @contextmanager
    def agreeing(self, stopping: Stopping) -> Iterator[Stopping]:
        agreed = _Agreed(stopping, self)
        with stopping.deferred():
            self._stopping = stopping
            try:
                yield cast("Stopping", agreed)
            finally:
                self._stopping = None

    def first_does(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        if self.is_first:
            call(*args, **kwargs)

    def from_first(self, make: Callable[[], T]) -> T:
        length = self.board.page()
        if self.is_first:
            value = make()
            data = _packed(value)
            self.board.leave(length, str(len(data)))
            dist.broadcast(data, 0)
            return value
        data = torch.empty(int(self.board.wait_for(length)), dtype=torch.uint8)
        dist.broadcast(data, 0)
        return cast("T", _unpacked(data))

    @contextmanager
    def one_a_node_first(self) -> Iterator[None]:
        done = f"{self.board.page()}/{self.place.node}"
        if self.place.local_rank != 0:
            self.board.wait_for(done)
        yield
        if self.place.local_rank == 0:
            self.board.leave(done, "")

    def meet(self) -> None:
        dist.all_reduce(torch.zeros(1))

    def confirm(self, what: str, facts: Callable[[], dict[str, str]]) -> None:
        page = self.board.page()
        self.board.leave(f"{page}/{self.share.rank}", json.dumps(facts()))
        every = [json.loads(self.board.wait_for(f"{page}/{rank}")) for rank in range(self.share.world)]
        agreement.compare(what, every)

    def follow(self) -> None:
        raise self.board.wait_for_end()

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Around all that a rank does: its end is told to the others, and the end of another is its own.

        Raises Followed where another rank has told why it ended, RankGone or RankSilent where one has not.
        """
        try:
            yield
        except outcome.Followed:
            self.board.hear()
            raise
        except BaseException as error:
            if shown := self._end_of_a_peer(error):
                finish()  # the launcher ends those that are left, which is no reason of its own
                raise self.board.end_behind(shown) from error
            if other := self.board.tell(error):
                raise other from error
            raise
        self.board.tell(None)

    def _end_of_a_peer(self, error: BaseException) -> BaseException | None:
        """What shows it, if `error` does, or is the SIGTERM that the watch sends where nobody is left."""
        if outcome.is_of_a_peer(error):
            return error
        return self.board.store.lost if isinstance(error, Terminated) else None


class _Agreed:
    """A Stopping whose signals are raised where all ranks come to, on all of them."""

    def __init__(self, stopping: Stopping, ranks: Together) -> None:
        self._stopping = stopping
        self._ranks = ranks

    @contextmanager
    def deferred(self) -> Iterator[None]:
        with self._stopping.deferred():
            yield
        self._ranks.check()


def _number(due: BaseException | None) -> int:
    if due is None:
        return 0
    return TERMINATED if isinstance(due, Terminated) else INTERRUPTED


def _stop(number: int) -> BaseException:
    return Terminated("stopped by SIGTERM") if number == TERMINATED else KeyboardInterrupt()


def _device_state(device: torch.device) -> Tensor | None:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _packed(value: object) -> Tensor:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def _unpacked(data: Tensor) -> Any:
    """Another process may be anyone's: nothing that it sends is run."""
    return torch.load(io.BytesIO(data.numpy().tobytes()), map_location="cpu", weights_only=True)
