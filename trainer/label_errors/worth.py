"""Is a ranking worth going through? Networks that learned little doubt what they cannot tell."""

from typing import Final

from fovea.model.measured import Metrics
from fovea.printable import shortened
from trainer.evaluate.baseline import beside_majority

MANY: Final = 0.2
"""Share of doubted labels above which the networks are doubted too. Of digits with 5 % wrong labels, lists
that were longer held mostly the mistakes of classifiers that had seen too few images."""


def doubt_of_worth(metrics: Metrics, doubted: int, weights: str) -> str | None:
    """One line that says why the ranking is worth little, and what to do; None where nothing speaks for that.

    `metrics` are of networks on images that they were not trained on, against the labels they were given,
    `doubted` is the number of these labels that they speak against, `weights` what they started from.
    """
    why = _reason(metrics, doubted)
    if why is None:
        return None
    label, share = metrics.majority
    more = "more --epochs, or from --weights imagenet" if weights == "none" else "more --epochs"
    return (
        f"this ranking is worth little: {doubted:,} of {metrics.images:,} labels are doubted, and "
        f"{metrics.accuracy:.1%} of the networks' answers are the labels, where always naming "
        f"{shortened(label)!r} gives {share:.1%}. {why}. Search again with {more}"
    )


def _reason(metrics: Metrics, doubted: int) -> str | None:
    standing = beside_majority(metrics)
    if standing == "no better":
        return "They learned nothing that chance would not give"
    if standing == "too few to tell":
        return "There are too few images to tell whether they learned anything"
    if doubted > MANY * metrics.images:
        return "Unless so many labels are wrong, they learned too little"
    return None
