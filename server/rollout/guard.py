"""Whether a canary is to be taken out: worse than the current version by more than its bounds allow.

Every comparison is a test that errs once in 100,000 (one-sided): the guard looks each second, for days.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from fovea.model.distance import Selections, label_psi, label_psi_by_chance, psi, psi_by_chance
from server.rollout.measured import LATENCIES, RATIO, Measured, Window, match_times
from server.rollout_options import RolloutOptions

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
WINDOW: Final = 10
"""Times the least number of images that is compared, after which both versions are counted anew, once either
has that least number."""
ERRORS_FROM: Final = 20
"""Images of the canary, from which on its errors are looked at."""
TIMES: Final = LATENCIES // (2 * RATIO)
"""Latencies of either version, that are always enough: however long a window is, it has so many."""
WORK_FROM: Final = 20
"""Images of either version, in batches of one size, from which on their work is compared."""
MORE_WORK: Final = 1.2
"""Times the current version's, that is more."""
_ERRS: Final = 1e-5
_Z: Final = NormalDist().inv_cdf(1 - _ERRS)


@dataclass(frozen=True)
class Bounds:
    """See the options of the same names."""

    min_images: int
    max_errors: float
    max_slowdown: float
    max_disagreement: float
    max_shift: float

    @classmethod
    def of(cls, settings: RolloutOptions) -> "Bounds":
        return cls(
            settings.canary_min_images,
            settings.canary_max_errors,
            settings.canary_max_slowdown,
            settings.canary_max_disagreement,
            settings.canary_max_shift,
        )


class Removal(NamedTuple):
    """Why a canary is taken out."""

    reason: str
    """One of REMOVED."""
    canary: float
    current: float
    """What was compared of either: the share of errors, the 95th percentile in seconds, the share of other
    labels (0 of the current one), the PSI (0 likewise)."""
    bound: float
    canary_images: int
    current_images: int


class Guard:
    """Of one canary. Belongs to the event loop that serves."""

    def __init__(
        self,
        canary: Measured,
        current: Measured,
        bounds: Bounds,
        take_out: Callable[[Removal], None],
        percent: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`percent` of the calls are the canary's now."""
        self._canary = canary
        self._current = current
        self._bounds = bounds
        self._take_out = take_out
        self._percent = percent
        self._compared_at: float | None = None
        """The percentage at the last look."""

    async def watch(self) -> None:
        """Until it takes the canary out, or is cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                removal = self.look()
                if removal is not None:
                    self._take_out(removal)
                    return
            except Exception:  # a bug here shall neither end the canary nor leave it unseen
                logger.exception("the canary cannot be compared with the current version, or be taken out")

    def look(self) -> Removal | None:
        """What speaks against it now. A window that is long enough ends with it."""
        percent = self._percent()
        is_alone = percent >= 100
        if self._compared_at not in (None, percent):  # in one window either has its images at the same times
            self._begin_windows(is_alone=is_alone)
        self._compared_at = percent
        match_times(self._canary, self._current)
        self._see_what_is_enough()
        removal = why_out(self._canary.window, self._current.window, self._bounds, is_alone=is_alone)
        self._end_windows(is_alone=is_alone)
        return removal

    def _see_what_is_enough(self) -> None:
        """Of a deadline: what the current version needs, and a canary may."""
        latest_s = list(self._current.latest_s)
        if len(latest_s) >= WORK_FROM:
            enough_s = self._bounds.max_slowdown * _end(latest_s, 0)
            self._canary.enough_s = self._current.enough_s = enough_s

    def _end_windows(self, *, is_alone: bool) -> None:
        canary, long = self._canary.window, WINDOW * self._bounds.min_images
        if canary.compared >= long:
            canary.compared = canary.disagreed = 0
        is_enough = is_alone or self._current.window.answers >= self._bounds.min_images
        if is_enough and canary.images >= long:
            self._begin_windows(is_alone=is_alone)

    def _begin_windows(self, *, is_alone: bool) -> None:
        """Of a current version that gets no calls what is known stays."""
        self._canary.begin_window()
        if not is_alone:
            self._current.begin_window()


def why_out(canary: Window, current: Window, bounds: Bounds, *, is_alone: bool = False) -> Removal | None:
    """The first bound that is exceeded, by more than chance. `is_alone`: the current one gets no calls."""
    known = bounds.min_images if is_alone else 0
    return (
        _out_by_errors(canary, current, bounds.max_errors, known)
        or _out_by_latency(canary, current, bounds)
        or _out_by_disagreement(canary, current, bounds)
        or (None if is_alone else _out_by_answers(canary, current, bounds))
    )


def _out_by_errors(canary: Window, current: Window, bound: float, known: int) -> Removal | None:
    """`known` is as of `_more_errors`."""
    if canary.images < ERRORS_FROM or _more_errors(canary, current, known) <= bound:
        return None
    shares = canary.errors / canary.images, current.errors / max(current.images, 1)
    return Removal("errors", *shares, bound, canary.images, current.images)


def _out_by_latency(canary: Window, current: Window, bounds: Bounds) -> Removal | None:
    least = min(bounds.min_images, TIMES)
    if not _has_enough(canary, current, bounds) or min(len(canary.seconds), len(current.seconds)) < least:
        return None
    if _slowdown(canary, current) <= bounds.max_slowdown or not _has_more_work(canary, current):
        return None
    percentiles = _end(canary.seconds, 0), _end(current.seconds, 0)
    return Removal("latency", *percentiles, bounds.max_slowdown, canary.images, current.images)


def _out_by_disagreement(canary: Window, current: Window, bounds: Bounds) -> Removal | None:
    disagreed, compared, bound = canary.disagreed, canary.compared, bounds.max_disagreement
    if compared < bounds.min_images or _share(disagreed, compared)[0] <= bound:
        return None
    return Removal("disagreement", disagreed / compared, 0.0, bound, compared, current.images)


def _out_by_answers(canary: Window, current: Window, bounds: Bounds) -> Removal | None:
    if not _has_enough(canary, current, bounds) or (shift := _shift(canary, current)) <= bounds.max_shift:
        return None
    return Removal("answers", shift, 0.0, bounds.max_shift, canary.images, current.images)


def _has_enough(canary: Window, current: Window, bounds: Bounds) -> bool:
    return min(canary.answers, current.answers) >= bounds.min_images


def _more_errors(canary: Window, current: Window, known: int) -> float:
    """The lower end of the difference of the shares (Newcombe, Statistics in Medicine 17:873, 1998, method
    10). A current version with fewer images than are `known` counts as one without errors."""
    low, _ = _share(canary.errors, canary.images)
    if current.images < known:
        return low
    if not current.images:  # it may fail as often
        return 0.0
    _, high = _share(current.errors, current.images)
    mine, its = canary.errors / canary.images, current.errors / current.images
    return mine - its - math.hypot(mine - low, high - its)


def _share(count: int, images: int) -> tuple[float, float]:
    """The ends of Wilson's interval."""
    share, spread = count / images, _Z**2 / images
    middle = share + spread / 2
    half = _Z * math.sqrt(share * (1 - share) / images + spread / (4 * images))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def _slowdown(canary: Window, current: Window) -> float:
    """The ratio of the 95th percentiles that is exceeded for sure: by the lower end of the canary's and the
    upper end of the current's, which are order statistics whatever the distributions are."""
    return _end(canary.seconds, -_Z) / max(_end(current.seconds, _Z), 1e-9)


def _has_more_work(canary: Window, current: Window) -> bool:
    """With an image, and not only longer queues: where more calls come than can be computed, they pile up
    before either version by chance, and stay there.

    The medians of decoding and computing are compared, of batches of the one size that both had most often.
    """
    both = {size: min(len(mine), len(current.work_s.get(size, ()))) for size, mine in canary.work_s.items()}
    size = max(both, key=both.__getitem__)
    if both[size] < WORK_FROM:
        return False
    mine, its = _end(canary.work_s[size], -_Z, 0.5), _end(current.work_s[size], _Z, 0.5)
    return mine > MORE_WORK * its


def _end(seconds: list[float], z: float, quantile: float = 0.95) -> float:
    """The quantile, or the end of its interval that is `z` standard deviations off."""
    count = len(seconds)
    rank = count * quantile + z * math.sqrt(count * quantile * (1 - quantile))
    place = min(max(math.ceil(rank) - 1, 0), count - 1)
    return float(np.partition(np.array(seconds), place)[place])  # in the event loop: sorting takes longer


def _shift(canary: Window, current: Window) -> float:
    """The PSI of the labels, where abstaining is one more; 0 where chance alone may give as much."""
    labels = sorted({*canary.labels, *current.labels})
    if canary.is_multi_label and current.is_multi_label:
        return _label_shift(canary, current, labels)
    counts = [
        np.array([*(window.labels.get(label, 0) for label in labels), window.abstained], np.int64)
        for window in (canary, current)
    ]
    apart = psi(*counts)
    by_chance = psi_by_chance(canary.answers, current.answers, len(labels) + 1, z=_Z) if labels else math.inf
    return apart if apart > by_chance else 0.0


def _label_shift(canary: Window, current: Window, labels: Sequence[str]) -> float:
    """The largest PSI of a label's share of the images, of multi-label versions; 0 where it may be chance."""
    ours, theirs = (
        Selections(np.array([window.labels.get(label, 0) for label in labels], np.int64), window.answers)
        for window in (canary, current)
    )
    apart = label_psi(ours, theirs, _ERRS)[0] if labels else 0.0
    return apart if apart and apart > label_psi_by_chance(ours, theirs, _ERRS) else 0.0
