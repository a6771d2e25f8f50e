"""Why an answer may be captured."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

Reason = Literal["uniform", "unknown", "abstained", "drifting_class", "small_margin", "disagreement"]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""In their order: of several that hold, the first one is told."""


@dataclass(frozen=True)
class Rules:
    """Which answers may be captured."""

    share: float
    """Of all answers, drawn whatever they are."""
    margin: float
    """Below it an answer is nearly another one."""

    def reason(
        self,
        draw: float,
        *,
        abstained: bool,
        unknown: bool | None,
        is_drifting: bool,
        is_close: bool,
        disagrees: bool = False,
    ) -> Reason | None:
        """None for an answer that nothing speaks for. `draw` is from [0, 1).

        Uniform comes first, or its share would miss just those answers that have another reason too; what it
        takes from the others is a share of them, drawn alike. Disagreement with another version comes last:
        only some answers are compared, and it would take just those from the other reasons.
        """
        if draw < self.share:
            return "uniform"
        if unknown:
            return "unknown"
        if abstained:
            return "abstained"
        if is_drifting:
            return "drifting_class"
        if is_close:
            return "small_margin"
        return "disagreement" if disagrees else None

    def is_close(self, probabilities: npt.NDArray[np.float32], confidence: float) -> bool:
        """`confidence` is the largest of the probabilities, [classes]."""
        # The second can have no more than the rest: of sure answers, which most are, it need not be found.
        return 2 * confidence - 1 < self.margin and margin_of(probabilities) < self.margin


def margin_of_labels(probabilities: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32]) -> float:
    """Of a multi-label answer: of the label nearest to its threshold, how much more likely
    yes is than no or no than yes, after the odds at the threshold were made even; from 0 to 1. Both are
    [labels].

    At a threshold of 1/2 it is |2 p - 1|, `margin_of` of the two. The difference p - t itself would call all
    answers close that a label of a low threshold is surely not in. A threshold of 0 or from 1 on has none.
    """
    p, t = probabilities.astype(np.float64), np.clip(thresholds.astype(np.float64), 0, 1)
    yes, no = p * (1 - t), t * (1 - p)
    return float(np.divide(abs(yes - no), yes + no, out=np.ones_like(p), where=yes + no != 0).min())


def margin_of(probabilities: npt.NDArray[np.float32]) -> float:
    """The largest less the second; of a single class the whole."""
    if len(probabilities) == 1:
        return float(probabilities[0])
    second, best = np.partition(probabilities, -2)[-2:]
    return float(best - second)
