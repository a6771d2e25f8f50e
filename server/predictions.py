"""What one model says of the images that it gets, for the metrics."""

from fovea.bundle import BundleContract, Precision
from fovea.drift import predicted_on_held_out
from server.drift import Drift
from server.metrics import Metrics


class Predictions:
    """Counts one model's predictions; lives in the event loop."""

    def __init__(self, metrics: Metrics, contract: BundleContract, precision: Precision) -> None:
        measured = contract.metrics if precision == "fp32" else contract.variants[precision].metrics
        self.drift = Drift(predicted_on_held_out(contract.labels, measured))
        # Looking a label up costs more than counting it; and a series has to be there before it is counted.
        self._by_class = [metrics.predictions.labels(label) for label in contract.labels]
        self._confidence = metrics.confidence
        self._abstained = metrics.abstained

    def show(self, best: int, confidence: float, abstained: bool) -> None:
        """`best`: the index of the best class; `confidence`: its probability."""
        self._by_class[best].inc()
        self.drift.count(best)
        self._confidence.observe(confidence)
        if abstained:
            self._abstained.inc()
