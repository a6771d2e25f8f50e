"""The verdict on a multi-label model: a word, and what speaks against it."""

import numpy as np
import pytest

from fovea.model.task import NEVER_SELECTED
from trainer.evaluate.label_metrics import measure_labels
from trainer.evaluate.task import Measured
from trainer.images.audit import AuditRecord
from trainer.report.label_verdict import guessed, judge_labels

LABELS = ("cat", "dog")
CLEAN = AuditRecord(
    digest="",
    classes={label: {"train": 100, "heldout": 50} for label in LABELS},
    not_heldout=[],
    conflicts=[],
)


def measured(right: float, thresholds: tuple[float, float] = (0.5, 0.5), images: int = 200) -> Measured:
    """Every second image has cat, every fourth dog; of so many, as a share, the probability says so."""
    targets = np.array([[n % 2 == 0, n % 4 == 0] for n in range(images)], np.int64)
    told = np.random.default_rng(0).random((images, 2)) < right
    probabilities = np.where(told, targets, 1 - targets).clip(0.02, 0.98).astype(np.float32)
    noise = np.random.default_rng(1).uniform(-0.015, 0.015, probabilities.shape)
    return Measured(*measure_labels((probabilities + noise).astype(np.float32), targets, LABELS, thresholds))


def reasons(of: Measured, audit: AuditRecord = CLEAN) -> str:
    return " ".join(judge_labels(of, audit).opinion.against)


def test_a_good_model_is_fit_and_nothing_speaks_against_it() -> None:
    verdict = judge_labels(measured(1.0), CLEAN)
    assert (verdict.word, verdict.against, verdict.no_better) == ("Fit to ship", (), False)


def test_one_that_guesses_is_not_fit_and_is_not_published() -> None:
    verdict = judge_labels(measured(0.5), CLEAN)
    assert verdict.word == "Not fit to ship"
    assert verdict.no_better
    assert "not surely better than chance" in reasons(measured(0.5))


def test_chance_is_the_mean_share_of_images_that_have_a_label() -> None:
    scores = measured(1.0).label_metrics
    assert scores is not None
    assert guessed(scores, 200) == pytest.approx((0.5 + 0.25) / 2)


def test_a_label_that_is_never_found_makes_it_unfit() -> None:
    of = measured(1.0, (0.5, NEVER_SELECTED))
    assert judge_labels(of, CLEAN).word == "Not fit to ship"
    assert "It never finds dog (none of 50 images)" in reasons(of)
    assert "However sure it is of dog, it is not right as often as was asked for" in reasons(of)


def test_a_label_that_is_selected_at_1_alone_is_not_said_to_be_never_right() -> None:
    assert "However sure it is" not in reasons(measured(1.0, (0.5, 1.0)))


def test_false_alarms_and_what_was_not_measured_are_doubts() -> None:
    of = measured(1.0, (0.5, 0.01))
    assert "Most images that it gives dog have it not" in reasons(of)
    audit = CLEAN.model_copy(update={"not_heldout": ["owl"]})
    assert "No held-out image has owl" in reasons(measured(1.0), audit)
    assert judge_labels(measured(1.0), audit).word == "Fit to ship, with care"


def test_few_images_of_a_label_say_little() -> None:
    assert "too few to say how well it is found" in reasons(measured(1.0, images=12))
