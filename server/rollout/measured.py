"""What a version answers while two share the calls: for the metrics, and for the guard to compare."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from fovea.errors import ImageInvalid
from server.errors import ComputeFailed, DeadlinePassed, NoModelReady, Refused
from server.telemetry.model_metrics import VersionSeries

LATENCIES: Final = 10_000
"""That a window remembers; the later ones are like them, or the next window tells."""
_FAULTS: Final = (ComputeFailed, DeadlinePassed, NoModelReady)


@dataclass
class Window:
    """Images of a version since some moment."""

    answers: int = 0
    errors: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    """Answers by best label; those that abstained are in none. Of a multi-label model by each label that is
    selected."""
    abstained: int = 0
    seconds: list[float] = field(default_factory=list)
    """Of decoding, waiting and computing, of the first LATENCIES answers."""
    work_s: dict[int, list[float]] = field(default_factory=dict)
    """Of decoding and computing alone, of the same, by how many images were computed together."""
    compared: int = 0
    disagreed: int = 0
    """Of the images that both versions computed, those to which the other gave another label."""
    is_multi_label: bool = False

    @property
    def images(self) -> int:
        return self.answers + self.errors


class Measured:
    """One version. Belongs to the event loop that serves."""

    def __init__(self, labels: tuple[str, ...], series: VersionSeries) -> None:
        self._labels = labels
        self._series = series
        self.window = Window()

    def begin_window(self) -> None:
        self.window = Window()

    def answered(
        self,
        best: int,
        abstained: bool,
        batch_size: int,
        decode_s: float,
        queue_s: float,
        compute_s: float,
        selected: Sequence[int] | None = None,
    ) -> None:
        """`best` is the index of the best class, `selected` are those of a multi-label model's labels; the
        others are as `Classified` has them."""
        window, series = self.window, self._series
        work_s = decode_s + compute_s
        seconds = queue_s + work_s
        window.answers += 1
        series.answers.inc()
        series.seconds.observe(seconds)
        if abstained:
            window.abstained += 1
            series.abstained.inc()
        else:
            window.is_multi_label = selected is not None
            for index in (best,) if selected is None else selected:
                label = self._labels[index]
                window.labels[label] = window.labels.get(label, 0) + 1
        if len(window.seconds) < LATENCIES:
            window.seconds.append(seconds)
            window.work_s.setdefault(batch_size, []).append(work_s)

    def failed(self, error: BaseException) -> None:
        """What is its caller's fault does not count."""
        if isinstance(error, _FAULTS) or not isinstance(error, (Refused, ImageInvalid)):
            self.window.errors += 1
            self._series.errors.inc()

    def compared(self, *, agrees: bool) -> None:
        """Both versions computed an image."""
        self.window.compared += 1
        self.window.disagreed += not agrees
