"""What is read off the figures of a release."""

import pytest
from pydantic import ValidationError

from fovea.model.measured import ClassMetrics, Metrics


def metrics(*classes: tuple[int, float], accuracy: float = 0.5) -> Metrics:
    """Of classes with their images and recall."""
    rows = {
        f"class {index}": ClassMetrics(images=images, precision=1.0, recall=recall)
        for index, (images, recall) in enumerate(classes)
    }
    images = sum(row.images for row in rows.values())
    return Metrics(images=images, accuracy=accuracy, loss=1.0, ece=0.0, per_class=rows)


def test_macro_recall_counts_each_class_that_has_images_as_much() -> None:
    assert metrics((9, 1.0), (1, 0.5), (0, 0.0)).macro_recall == 0.75
    assert metrics((0, 0.0)).macro_recall == 0


def test_the_majority_is_the_most_frequent_class_and_its_share() -> None:
    assert metrics((1, 1.0), (3, 1.0), (0, 0.0)).majority == ("class 1", 0.75)
    assert metrics((0, 0.0)).majority == ("class 0", 0.0)


def test_right_is_a_number_of_images() -> None:
    assert metrics((2, 1.0), (1, 1.0), accuracy=2 / 3).right == 2


def test_probabilities_are_counted_in_twenty_bins() -> None:
    fields = metrics((2, 1.0)).model_dump()
    assert Metrics(**fields | {"confidences": [0] * 20}).confidences == (0,) * 20
    for bins in (0, 19, 21):
        with pytest.raises(ValidationError, match="confidences"):
            Metrics(**fields | {"confidences": [0] * bins})
