"""What a range test's curve suggests, as pure functions over points that are already smoothed and cut, see
`trainer.learning_rate.range_test.Curve.usable`."""

import bisect

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


def steep(lrs: Points, losses: Points) -> float | None:
    """The lr where d loss / d ln lr is lowest: forward differences, the left point's lr.

    None for fewer than two points, or a loss that is not finite.
    """
    if len(losses) < 2 or not np.isfinite(losses).all():
        return None
    slopes = np.diff(losses) / np.diff(np.log(lrs))
    return float(lrs[np.argmin(slopes)])


def minimum(lrs: Points, losses: Points) -> float | None:
    """A tenth of the lr with the lowest loss. None without points, or where a loss is not finite."""
    return float(lrs[np.argmin(losses)] / 10) if len(losses) and np.isfinite(losses).all() else None


def valley(lrs: Points, losses: Points) -> float | None:
    """A half into the longest valley, as fastai has it.

    With m the end and L the length of the longest strictly decreasing subsequence of the losses, the point
    (m - L) + floor(L / 3) + floor(L / 6). None for a curve that never falls or is not finite.
    """
    if not np.isfinite(losses).all():
        return None
    lengths = _decreasing_lengths(losses)
    longest = max(lengths, default=0)
    if longest < 2:
        return None
    index = lengths.index(longest) - longest + longest // 3 + longest // 6
    return float(lrs[max(0, index)])


def slide(lrs: Points, losses: Points, window: int = 15, threshold: float = 0.005) -> float | None:
    """From the right, a window moves left while the gradients (per point) at its ends differ by more than
    `threshold`; the left end's lr of the last that did. After Novetta's method, as fastai has it.

    None for a curve that is not longer than the window, or not finite.
    """
    if len(losses) <= window or not np.isfinite(losses).all():
        return None
    slopes = np.gradient(losses)
    right = len(losses) - 1
    chosen = right - window
    while right >= window and abs(slopes[right] - slopes[right - window]) > threshold:
        chosen = right - window
        right -= 1
    return float(lrs[chosen])


def clr(lrs: Points, accuracies: Points) -> tuple[float, float] | None:
    """The pair (base_lr, max_lr) of the cyclical policies (Smith 2015, arXiv 1506.01186, section 3.3): where
    the accuracy begins to rise, and where its rise slows, turns ragged or falls.

    With a the accuracies' centred mean over N/10 points and a0 their mean before the rise (over the first
    N/10): the last lr before the peak of a with a <= a0 + (peak - a0)/10, and the first lr after it with
    a >= a0 + 9 (peak - a0)/10. None where the peak is not 6 standard errors of that mean above a0, the
    noise being that of successive differences (such a rise is chance), or lies in the first N/10.
    """
    width = max(1, len(accuracies) // 10)
    if len(accuracies) < 3:
        return None
    means = centred_means(accuracies, width)
    start, peak = float(accuracies[:width].mean()), int(np.argmax(means))
    rise = float(means[peak]) - start
    noise = float(np.diff(accuracies).std()) / np.sqrt(2 * width)
    if peak < width or rise <= 6 * noise:
        return None
    is_low, is_high = means <= start + rise / 10, means >= start + 0.9 * rise
    base = peak - int(np.argmax(is_low[peak::-1]))
    slows = base + int(np.argmax(is_high[base:]))
    return float(lrs[base]), float(lrs[slows])


def centred_means(values: Points, width: int) -> Points:
    """The mean of the `width` values around each, of fewer at the ends."""
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _decreasing_lengths(losses: Points) -> list[int]:
    """For each point the length of the longest strictly decreasing subsequence that ends there.

    Patience sorting, n log n: tails[k] is the highest loss that ends a subsequence of length k + 1.
    """
    tails: list[float] = []
    lengths = []
    for loss in losses:
        place = bisect.bisect_left(tails, -float(loss))
        tails[place : place + 1] = [-float(loss)]
        lengths.append(place + 1)
    return lengths
