"""How far a suggestion wanders with the noise of the very curve that it was read off."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from trainer.learning_rate.range_test import Curve, smooth
from trainer.learning_rate.suggestions import Points

SEEDS: Final = 20
MEDIAN_STEP: Final = 0.6745 * 2**0.5
"""The median distance of two values drawn from a normal distribution, in its standard deviations."""
Suggestion = Callable[[Points, Points], float | None]


def spread(curve: Curve, suggestions: Mapping[str, Suggestion]) -> dict[str, list[float]]:
    """Each suggestion's values, sorted: of the curve itself and of 20 resamplings of its noise.

    A wild bootstrap (Wu 1986, doi 10.1214/aos/1176350142): the losses' trend plus their residuals, each left
    in its place, for the noise grows towards the divergence, with a random sign; then smoothed and cut as
    the curve itself is. The seeds are 0 to 19, so that a curve always has the same spread. A suggestion
    that none of them gives is left out.
    """
    losses, level = np.array(curve.losses), trend(curve)
    curves = [np.array(curve.smoothed)]
    for seed in range(SEEDS):
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], len(losses))
        curves.append(np.array(smooth((level + signs * (losses - level)).tolist())))
    lrs = np.array(curve.lrs)[curve.usable_slice]
    rates = {
        name: [
            value for smoothed in curves if (value := suggest(lrs, smoothed[curve.usable_slice])) is not None
        ]
        for name, suggest in suggestions.items()
    }
    return {name: sorted(values) for name, values in rates.items() if values}


def lower_median(values: list[float]) -> float:
    """Of sorted values the middle one; of two the lower."""
    return values[(len(values) - 1) // 2]


def falls_beyond_noise(curve: Curve) -> bool:
    """Whether the loss falls by more than its noise could make its trend fall.

    From the trend's first usable point to its lowest one, in standard errors of that difference; 4 of them,
    for the lowest is the lowest of many. The noise is that of successive differences before the lowest point:
    beyond it lies the divergence.
    """
    losses, level = np.array(curve.losses)[curve.usable_slice], trend(curve)[curve.usable_slice]
    steps = np.abs(np.diff(losses[: int(np.argmin(level)) + 1]))
    noise = float(np.median(steps)) / MEDIAN_STEP if len(steps) else 0.0
    error = noise * np.sqrt(2 / (2 * _width(losses) + 1))
    return bool(level[0] - level.min() > 4 * error)


def trend(curve: Curve) -> Points:
    """At each point the value of the line that fits the losses to either side of it best, a tenth of all to
    each.

    Unlike a moving average, it does not lag behind a fall, nor flatten the ends. Local linear regression
    (Cleveland 1979), unweighted.
    """
    values = np.array(curve.losses)
    width, places = _width(values), np.arange(len(values))
    fitted = np.empty(len(values))
    for place in places:
        near = slice(max(0, place - width), place + width + 1)
        x, y = places[near] - place, values[near]
        slope = np.dot(x - x.mean(), y - y.mean()) / max(1.0, float(np.dot(x - x.mean(), x - x.mean())))
        fitted[place] = y.mean() - slope * x.mean()
    return fitted


def _width(values: Points) -> int:
    return max(5, len(values) // 10)
