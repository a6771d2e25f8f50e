"""Whether a ranking is worth going through."""

import numpy as np

from fovea.model.measured import Metrics
from trainer.evaluate.metrics import measure
from trainer.label_errors.worth import doubt_of_worth

LABELS = ("cat", "dog", "owl", "elk")


def answered(right: int, images: int) -> Metrics:
    """Of as many images of each class, `right` of all are told, evenly; the others are taken for the next."""
    targets = np.arange(images) % 4
    said = np.where(np.arange(images) < right, targets, (targets + 1) % 4)
    return measure(np.eye(4, dtype=np.float32)[said], targets, LABELS, 0.0)


def test_ranking_of_networks_that_learned_is_not_doubted() -> None:
    assert doubt_of_worth(answered(380, 400), 30, "none") is None
    assert doubt_of_worth(answered(380, 400), 80, "none") is None


def test_many_doubted_labels_are_the_networks_own_mistakes() -> None:
    assert doubt_of_worth(answered(240, 400), 81, "none") == (
        "this ranking is worth little: 81 of 400 labels are doubted, and 60.0% of the networks' answers are "
        "the labels, where always naming 'cat' gives 25.0%. Unless so many labels are wrong, they learned "
        "too little. Search again with more --epochs, or from --weights imagenet"
    )


def test_networks_no_better_than_the_majority_are_not_worth_much_however_few_they_doubt() -> None:
    warning = doubt_of_worth(answered(108, 400), 3, "imagenet")
    assert warning is not None
    assert "They learned nothing that chance would not give. Search again with more --epochs" in warning
    assert "--weights" not in warning


def test_few_images_tell_nothing_of_the_networks() -> None:
    targets = np.array([0, 0, 1])
    warning = doubt_of_worth(
        measure(np.eye(2, dtype=np.float32)[targets], targets, LABELS[:2], 0.0), 0, "none"
    )
    assert warning is not None
    assert "There are too few images to tell" in warning
