"""The verdict on a multi-label model: a word, and what speaks against it."""

import numpy as np
import pytest

from fovea.model.task import NEVER_SELECTED
from trainer.evaluate.label_chance import by_chance
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


def by_luck(images: int, having: int, seeds: int) -> list[Measured]:
    """Rankings that know nothing, of two labels that so many images have."""
    drawn = [np.random.default_rng(seed).random((images, 2)).astype(np.float32) for seed in range(seeds)]
    targets = np.repeat(np.arange(images)[:, None] < having, 2, axis=1).astype(np.int64)
    return [Measured(*measure_labels(each, targets, LABELS, (0.5, 0.5))) for each in drawn]


def test_chance_is_what_random_rankings_come_to() -> None:
    maps = [each.label_metrics.map for each in by_luck(60, 3, 400) if each.label_metrics]
    mean, lucky = by_chance((3, 3), 60)
    assert mean == pytest.approx(np.mean(maps), rel=0.1)
    assert mean > 1.5 * 3 / 60
    assert lucky == pytest.approx(np.quantile(maps, 0.95), rel=0.2)
    assert by_chance((1,), 1) == (1, 1)
    assert by_chance((600,), 1000)[0] == pytest.approx(0.6, abs=0.01)


def test_rankings_that_know_nothing_are_not_published_where_few_images_have_the_labels() -> None:
    passed = [each for each in by_luck(60, 1, 100) if not judge_labels(each, CLEAN).no_better]
    assert len(passed) <= 10
    scores = by_luck(60, 3, 1)[0].label_metrics
    assert scores is not None
    assert guessed(scores, 60) == by_chance((3, 3), 60)[0]


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


def test_a_threshold_that_no_held_out_image_chose_is_a_doubt_though_test_images_have_the_label() -> None:
    classes = {label: {"train": 9, "heldout": int(label == "cat"), "test": 9} for label in LABELS}
    audit = CLEAN.model_copy(update={"classes": classes, "not_heldout": ["dog"]})
    assert "No held-out image has dog, so nothing chose the threshold of 0.5" in reasons(measured(1.0), audit)


def test_few_images_of_a_label_say_little() -> None:
    assert "too few to say how well it is found" in reasons(measured(1.0, images=12))
