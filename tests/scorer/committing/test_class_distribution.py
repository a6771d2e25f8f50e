"""What a run's probabilities come to, beside numpy's word for it."""

import numpy as np
import pyarrow as pa
import pytest

from fovea.model.measured import Metrics
from fovea.truth.expected import Answers, expected_accuracy
from scorer.committing.class_distribution import ClassDistribution

METRICS = Metrics(images=1100, accuracy=0.95, loss=0.1, ece=0.01, per_class={})


def table(labels: list[str | None], probabilities: list[float | None], abstained: list[bool]) -> pa.Table:
    columns = {
        "label": pa.array(labels, pa.string()).dictionary_encode(),
        "probability": pa.array(probabilities, pa.float32()),
        "abstained": abstained,
    }
    return pa.table(columns)


def test_mean_has_four_digits_and_the_median_is_the_middle_of_its_thousandth() -> None:
    for count in (1, 2, 3, 400, 401):
        values = np.random.default_rng(count).random(count).astype(np.float32)
        distribution = ClassDistribution()
        for some in (values[:3], values[3:]):
            distribution.add(table(["red"] * len(some), some.tolist(), [False] * len(some)))
        confidence = distribution.confidence()
        assert confidence.mean == round(float(values.astype(np.float64).mean()), 4)
        middle = float(np.sort(values)[(count - 1) // 2])
        assert confidence.median == pytest.approx(int(1000 * middle) / 1000 + 0.0005, abs=1e-9)
        assert confidence.bins == tuple(np.histogram(values, 20, (0, 1))[0].tolist())


def test_what_is_expected_to_be_right_is_as_the_bins_of_the_release_say() -> None:
    distribution = ClassDistribution()
    distribution.add(table(["red"] * 3 + [None], [0.975, 1.0, 0.61, None], [False] * 4))
    bins = {
        "confidences": (*[0] * 12, 100, *[0] * 6, 1000),
        "right_by_confidence": (*[0] * 12, 50, *[0] * 6, 990),
    }
    released = METRICS.model_copy(update=bins)
    expected = distribution.expected_accuracy(released)
    assert expected is not None
    by_hand = expected_accuracy(
        Answers((*[0] * 12, 1, *[0] * 6, 2), (*[0] * 12, 0.61, *[0] * 6, 1.975)), *bins.values()
    )
    assert by_hand is not None
    assert expected.images == 3
    assert expected.accuracy == pytest.approx(by_hand.accuracy, abs=1e-4)
    assert expected.interval_95 == pytest.approx(by_hand.interval_95, abs=1e-4)
    assert distribution.expected_accuracy(METRICS) is None
    assert ClassDistribution().expected_accuracy(released) is None


def test_only_rows_with_a_label_count_and_who_abstained_is_added_up() -> None:
    distribution = ClassDistribution()
    distribution.add(table([], [], []))
    assert (distribution.images, distribution.abstained, dict(distribution.labels)) == (0, 0, {})
    nothing = distribution.confidence()
    assert (nothing.bins, nothing.mean, nothing.median) == ((0,) * 20, None, None)
    distribution.add(table(["red", None, "blue"], [0.9, None, 0.5], [False, False, True]))
    distribution.add(table(["red"], [0.5], [False]))
    assert (distribution.images, distribution.abstained) == (3, 1)
    assert distribution.labels == {"red": 2, "blue": 1}
    assert sum(distribution.confidence().bins) == 3


def test_a_probability_that_rounding_put_outside_0_to_1_counts_as_the_end() -> None:
    """A softmax in float32 may give 1.0000001."""
    over, under = float(np.nextafter(np.float32(1), np.float32(2))), -float(np.finfo(np.float32).tiny)
    distribution = ClassDistribution()
    distribution.add(table(["red"] * 3, [over, over, under], [False] * 3))
    confidence = distribution.confidence()
    assert confidence.bins == (1, *[0] * 18, 2)
    assert (confidence.mean, confidence.median) == (0.6667, 0.9995)
