"""What a version answers while two share the calls: for the metrics, and for the guard to compare."""

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from fovea.errors import ImageInvalid
from server.errors import ComputeFailed, DeadlinePassed, NoModelReady, Refused
from server.telemetry.model_metrics import VersionSeries

LATENCIES: Final = 10_000
"""Beyond so many of either version a window keeps every other one of both."""
RATIO: Final = 10
"""Of those of the same time, a version has so many times as many as the other in a window, at most."""
LATEST: Final = 1000
"""Answers whose latencies are remembered until the other version has some of about that time."""
_FAULTS: Final = (ComputeFailed, DeadlinePassed, NoModelReady)


@dataclass
class Window:
    """Images of a version since some moment: of a call's the first alone, since they tend to be alike, and
    what is compared counts each as a draw of its own."""

    answers: int = 0
    errors: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    """Answers by best label; those that abstained are in none. Of a multi-label model by each label that is
    selected."""
    abstained: int = 0
    seconds: list[float] = field(default_factory=list)
    """Of decoding, waiting and computing: some of the answers, see `match_times`."""
    work_s: dict[int, list[float]] = field(default_factory=dict)
    """Of decoding and computing alone, of the same, by how many images were computed together."""
    compared: int = 0
    disagreed: int = 0
    """Of the images that both versions computed, those to which the other gave another label."""
    is_multi_label: bool = False

    @property
    def images(self) -> int:
        return self.answers + self.errors

    def keep_half(self) -> None:
        """Of the latencies."""
        self.seconds = self.seconds[::2]
        self.work_s = {size: work_s[::2] for size, work_s in self.work_s.items()}


class _Times(NamedTuple):
    """Of one answer, see `Window`."""

    seconds: float
    batch_size: int
    work_s: float


class Measured:
    """One version. Belongs to the event loop that serves."""

    def __init__(self, labels: tuple[str, ...], series: VersionSeries) -> None:
        self._labels = labels
        self._series = series
        self.window = Window()
        self.times: deque[_Times] = deque(maxlen=LATEST)
        """Of the answers since `match_times`."""
        self.latest_s: deque[float] = deque(maxlen=LATEST)
        """What the latest answers took, as a window's `seconds`."""
        self.enough_s = math.inf
        """A deadline that leaves so long is long enough: that it is not met is the version's fault."""

    def begin_window(self) -> None:
        self.window = Window()
        self.times.clear()

    def keep_times(self, most: int) -> None:
        """In the window: as many of `times`, drawn by chance; the others are forgotten."""
        for seconds, batch_size, work_s in random.sample(self.times, min(most, len(self.times))):
            self.window.seconds.append(seconds)
            self.window.work_s.setdefault(batch_size, []).append(work_s)
        self.times.clear()

    def answered(
        self,
        best: int,
        abstained: bool,
        batch_size: int,
        decode_s: float,
        queue_s: float,
        compute_s: float,
        selected: Sequence[int] | None = None,
        *,
        is_more: bool = False,
    ) -> None:
        """`best` is the index of the best class, `selected` are those of a multi-label model's labels; one
        that `is_more` is not the first of its call; the others are as `Classified` has them."""
        work_s = decode_s + compute_s
        seconds = queue_s + work_s
        self._series.answers.inc()
        self._series.seconds.observe(seconds)
        if abstained:
            self._series.abstained.inc()
        if not is_more:
            self._count(best, abstained, selected)
            self.latest_s.append(seconds)
            self.times.append(_Times(seconds, batch_size, work_s))

    def _count(self, best: int, abstained: bool, selected: Sequence[int] | None) -> None:
        window = self.window
        window.answers += 1
        if abstained:
            window.abstained += 1
            return
        window.is_multi_label = selected is not None
        for index in (best,) if selected is None else selected:
            label = self._labels[index]
            window.labels[label] = window.labels.get(label, 0) + 1

    def failed(self, error: BaseException, *, is_more: bool = False) -> None:
        """What is its caller's fault does not count."""
        if isinstance(error, DeadlinePassed) and error.left_s is not None and error.left_s < self.enough_s:
            return
        if isinstance(error, _FAULTS) or not isinstance(error, (Refused, ImageInvalid)):
            self.window.errors += not is_more
            self._series.errors.inc()

    def compared(self, *, agrees: bool) -> None:
        """Both versions computed an image."""
        self.window.compared += 1
        self.window.disagreed += not agrees


def match_times(one: Measured, other: Measured) -> None:
    """Puts into the windows of both what their answers took in the time since the last call.

    What is compared of both is so of the same times, whatever share of the calls either has: a machine that
    is slower by now slows both. Where one has no answer, those of the other wait until it has.
    """
    most = RATIO * min(len(one.times), len(other.times))
    if not most:
        return
    for measured in (one, other):
        measured.keep_times(most)
    if max(len(one.window.seconds), len(other.window.seconds)) > LATENCIES:
        one.window.keep_half()
        other.window.keep_half()
