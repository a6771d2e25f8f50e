"""How another version answers, that is asked a second time."""

from collections.abc import Collection
from typing import Final

import prometheus_client as prometheus

OUTCOMES: Final = ("agree", "disagree", "dropped", "failed")
"""Of an image that was drawn."""
_DIFFERENCES: Final = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


class ShadowMetrics:
    """May be updated from any thread."""

    def __init__(self, registry: prometheus.CollectorRegistry) -> None:
        self._outcomes = prometheus.Counter(
            "fovea_shadow",
            "Images that the shadow answered too, as the current version or otherwise, or that it did not.",
            ("outcome",),
            registry=registry,
        )
        self._disagreed = prometheus.Counter(
            "fovea_shadow_disagreed",
            "Images to which the shadow gives another label, by that of the current version; of a "
            "multi-label model by each label that one of the two selects.",
            ("label",),
            registry=registry,
        )
        self._difference = prometheus.Histogram(
            "fovea_shadow_difference_ratio",
            "How far the probability of the shadow's best label is from that of the current version's.",
            registry=registry,
            buckets=_DIFFERENCES,
        )
        for outcome in OUTCOMES:
            self._outcomes.labels(outcome)

    def foresee(self, labels: tuple[str, ...]) -> None:
        """What the current version may answer: `rate` misses the first count of other series."""
        for label in labels:
            self._disagreed.labels(label)

    def compare(self, disagreed: Collection[str], difference: float) -> None:
        """Labels on which the two are not one, if any; `difference` is of the probabilities."""
        self._difference.observe(abs(difference))
        self.count("disagree" if disagreed else "agree")
        for label in disagreed:
            self._disagreed.labels(label).inc()

    def count(self, outcome: str) -> None:
        self._outcomes.labels(outcome).inc()
