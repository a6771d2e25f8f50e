"""How many answers are right, where nobody knows the labels."""

import numpy as np
import pytest

from fovea.truth.expected import Answers, expected_accuracy

BINS = 20


def binned(confidence: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> tuple[list[int], list[float]]:
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return (
        np.bincount(places, minlength=BINS).tolist(),
        np.bincount(places, confidence, BINS).tolist(),
    )


@pytest.mark.parametrize("sharpness", [1, 4, 40])
def test_the_interval_holds_what_comes_true_as_often_as_it_says(sharpness: int) -> None:
    """A model whose answers are right as often as it says, less a tenth of what it leaves open."""
    generator, held = np.random.default_rng(sharpness), 0
    for _ in range(400):
        known, seen = generator.beta(sharpness, 1, 300), generator.beta(sharpness, 1, 400)
        right = generator.random(300) < known - 0.1 * (1 - known)
        measured, _ = binned(known)
        good, _ = binned(known[right])
        expected = expected_accuracy(Answers(*binned(seen)), measured, good)
        assert expected is not None
        real = (generator.random(400) < seen - 0.1 * (1 - seen)).mean()
        low, high = expected.interval_95
        assert 0 <= low <= expected.accuracy <= high <= 1
        held += low <= real <= high
    assert held >= 0.93 * 400


def test_what_was_measured_counts_the_more_the_more_images_it_was_of() -> None:
    answers = Answers([0, 100], [0.0, 90.0])
    for images, accuracy in ((0, 0.9), (10, 7.7 / 13), (100_000, 0.5)):
        expected = expected_accuracy(answers, [0, images], [0, images // 2])
        assert expected is not None
        assert expected.accuracy == pytest.approx(accuracy, abs=1e-3)


def test_none_is_certain_and_of_no_answer_nothing_is_expected() -> None:
    assert expected_accuracy(Answers([0], [0.0]), [5], [5]) is None
    sure = expected_accuracy(Answers([50], [50.0]), [50], [50])
    assert sure is not None
    assert sure.accuracy == 1
    assert 0.85 < sure.interval_95[0] < 0.99
    assert sure.interval_95[1] == 1
    with pytest.raises(ValueError, match="shorter"):
        expected_accuracy(Answers([50, 1], [50.0, 1.0]), [50], [50])
