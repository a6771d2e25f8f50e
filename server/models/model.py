"""What services know of a model, be it in this process or in another, and of what it has answered."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from fovea.model.bundle import BundleContract, Precision
from fovea.v1 import classify_pb2 as pb
from server.compute.backend import WorkItem
from server.compute.wants import Details
from server.queue.priorities import Priority

Key = Callable[[], str]
"""Gives what a call is known by, empty where that is nothing; it is asked only where it matters."""


class Classified(NamedTuple):
    """One image's answer, and what it took."""

    probabilities: npt.NDArray[np.float32]
    """[classes]"""
    best: int
    """Index of the most probable class."""
    abstained: bool
    """The best probability is below the model's threshold."""
    batch_size: int
    decode_s: float
    queue_s: float
    compute_s: float
    details: Details | None = None
    """What was wanted beside."""


class Model(Protocol):
    """A version that answers."""

    on_workers_changed: Callable[[], None]
    """Is told when `has_workers` changes."""

    @property
    def contract(self) -> BundleContract: ...

    @property
    def identity(self) -> pb.ModelVersion:
        """As every answer repeats it; `digest` is the sha256 of the ONNX file that is served."""

    @property
    def provider(self) -> str: ...

    @property
    def precision(self) -> Precision: ...

    @property
    def has_workers(self) -> bool:
        """False while all that compute are being replaced."""

    @property
    def queued(self) -> int:
        """Images that wait to be computed."""

    async def classify(
        self, item: WorkItem, deadline: float | None, priority: Priority = Priority.INTERACTIVE
    ) -> Classified:
        """`deadline` is on `time.monotonic`'s clock. Raises ImageInvalid, DeadlinePassed, ComputeFailed."""

    def retry_after_s(self) -> float:
        """When a full queue will have moved on noticeably."""

    def count_call(self, name: str, times: "CallTimes") -> None:
        """A call to the model by one of its names, which has ended."""

    async def figures(self) -> "ModelFigures":
        """What it has answered since it went live."""

    async def close(self) -> None: ...


class Models(Protocol):
    """The versions that can be asked for; 0 is the current one.

    A model is named as its folder is; no name is that of the only one, or of --default-model.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Those that there are, loaded or not."""

    @property
    def live(self) -> Sequence[Model]:
        """The current version of each that has one."""

    def versions(self, name: str = "") -> tuple[int, ...]:
        """The numbers of those that are loaded, the current one first. Raises ModelUnknown, FieldInvalid."""

    def choose(self, version: int, name: str = "") -> Model:
        """To be described. Raises ModelUnknown, FieldInvalid, NoModelReady, VersionNotLoaded."""

    def use(self, version: int, name: str = "", key: Key | None = None) -> AbstractContextManager[Model]:
        """To answer a request with: it is not closed before the block is left. Raises the same.

        Where two versions share the calls, `key` says whose one is that names no version; without it, it is
        the current one's.
        """


class Versions(Protocol):
    """The models' folders of versions, and what of them could not be served."""

    async def refused_now(self, name: str) -> dict[int, str]:
        """The versions that might be served next but were refused, and why, as callers may know it."""

    async def look_on_demand(self, name: str) -> None:
        """Returns when the newest version serves. Raises VersionRefused, FolderUnreachable, NoModelReady."""


@dataclass(frozen=True)
class CallTimes:
    """A call that has ended; all but the first three are of one that was answered."""

    is_answered: bool
    began_ms: int
    """In milliseconds of Unix time."""
    seconds: float
    queue_s: float = 0.0
    """The longest wait of the call's images."""
    decode_s: float = 0.0
    """Of all the call's images."""
    compute_s: float = 0.0
    """The longest of the batches that the call's images were in."""
    answer_s: float = 0.0
    """Laying out the answer."""


@dataclass(frozen=True)
class Tally:
    """How often something happened, and what it took in all."""

    count: int = 0
    seconds: float = 0.0

    def plus(self, seconds: float) -> "Tally":
        return Tally(self.count + 1, self.seconds + seconds)


NEVER: Final = Tally()


@dataclass
class CallTallies:
    """Calls to the model by one of its names; all but `fail` are of those that were answered."""

    success: Tally = NEVER
    fail: Tally = NEVER
    queue: Tally = NEVER
    decode: Tally = NEVER
    compute: Tally = NEVER
    answer: Tally = NEVER
    last_ms: int = 0
    """When the last one came, in milliseconds of Unix time."""

    def add(self, times: CallTimes) -> None:
        self.last_ms = max(self.last_ms, times.began_ms)
        if not times.is_answered:
            self.fail = self.fail.plus(times.seconds)
            return
        self.success = self.success.plus(times.seconds)
        self.queue = self.queue.plus(times.queue_s)
        self.decode = self.decode.plus(times.decode_s)
        self.compute = self.compute.plus(times.compute_s)
        self.answer = self.answer.plus(times.answer_s)


@dataclass(frozen=True)
class ModelFigures:
    """What a version has answered since it went live."""

    images: int
    """Computed, whoever asked for them."""
    batches: Mapping[int, Tally]
    """By how many images they had."""
    calls: Mapping[str, CallTallies] = field(default_factory=dict)
    """By the model's names; none by which there were no calls."""
