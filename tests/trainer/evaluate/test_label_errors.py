"""The ranking of labels by how likely they are wrong, on made probabilities."""

import numpy as np
import pytest

from trainer.evaluate.label_errors import doubtful_labels, suggested_labels
from trainer.evaluate.metrics import Logits, Targets, softmax


def _answers(images: int = 2000, classes: int = 10, flipped: float = 0.05) -> tuple[Logits, Targets, Targets]:
    """Probabilities of a network that is right nine times in ten, the labels, of which some are flipped, and
    which."""
    random = np.random.default_rng(0)
    truth = random.integers(0, classes, images)
    logits = random.normal(0, 1, (images, classes)).astype(np.float32)
    logits[np.arange(images), truth] += 3.5
    wrong = random.permutation(images)[: round(flipped * images)]
    targets = truth.copy()
    targets[wrong] = (truth[wrong] + random.integers(1, classes, len(wrong))) % classes
    return softmax(logits), targets, wrong


def test_flipped_labels_come_first() -> None:
    probabilities, targets, flipped = _answers()
    first = doubtful_labels(probabilities, targets)[: len(flipped)]
    assert np.isin(first, flipped).mean() >= 0.8
    suggested = suggested_labels(probabilities, targets)
    assert (suggested[flipped] != targets[flipped]).all()


def test_most_doubtful_is_the_label_of_the_lowest_probability() -> None:
    probabilities, targets, _ = _answers()
    own = probabilities[np.arange(len(targets)), targets]
    assert (np.diff(own[doubtful_labels(probabilities, targets)]) >= 0).all()


def test_label_that_is_the_surest_answer_is_not_doubted() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.95, 0.05]], np.float32)
    assert doubtful_labels(probabilities, np.array([0, 0, 1, 1])).tolist() == [3]
    assert doubtful_labels(probabilities, np.array([0, 0, 1, 0])).tolist() == []


def test_unsure_class_is_believed_at_a_lower_probability() -> None:
    """What the threshold of each class is for: 0.52 is much for the second, whose own get 0.5, and little
    for the first."""
    answers = [[0.99, 0.01], [0.97, 0.03], [0.48, 0.52], [0.5, 0.5], [0.5, 0.5]]
    probabilities = np.array(answers, np.float32)
    assert doubtful_labels(probabilities, np.array([0, 0, 0, 1, 1])).tolist() == [2]


def test_class_without_an_image_is_never_suggested_by_its_threshold() -> None:
    probabilities = np.array([[0.1, 0.1, 0.8], [0.2, 0.7, 0.1]], np.float32)
    assert doubtful_labels(probabilities, np.array([0, 1])).tolist() == []


@pytest.mark.slow
def test_what_the_library_of_the_paper_s_authors_lists_is_listed() -> None:
    from cleanlab.filter import find_label_issues  # loads for seconds

    probabilities, targets, _ = _answers()
    issues = find_label_issues(targets, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    listed = doubtful_labels(probabilities, targets)
    assert np.isin(issues, listed).mean() >= 0.95
    assert len(listed) <= 1.5 * len(issues)
