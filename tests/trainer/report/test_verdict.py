"""Should it be shipped?"""

from dataclasses import replace
from typing import Any

import numpy as np

from fovea.bundle import Metrics
from trainer.calibration import Calibration
from trainer.metrics import measure
from trainer.report.verdict import judge

LABELS = ("cat", "dog")
CALIBRATION = Calibration(1.0, 0.6, 0.05, 0.01, kept=990, kept_right=985)
CLEAN: dict[str, Any] = {"not_heldout": [], "conflicts": []}


def measured(right: float, images: int = 1000, labels: tuple[str, ...] = LABELS) -> Metrics:
    """Half of the images are of either class, and `right` is the share of both that is found."""
    targets = np.arange(images) % 2
    found = np.arange(images) // 2 < right * images / 2
    said = np.where(found, targets, 1 - targets)
    return measure(np.eye(len(labels), dtype=np.float32)[said], targets, labels)


def test_a_good_model_is_fit_to_ship_and_nothing_speaks_against_it() -> None:
    verdict = judge(measured(0.97), CALIBRATION, CLEAN, 0.99)
    assert (verdict.word, verdict.against, verdict.kind) == ("Fit to ship", (), "good")
    assert verdict.weakest is not None
    assert verdict.weakest.recall == 0.97


def test_a_model_that_may_be_guessing_is_not_fit_to_ship() -> None:
    verdict = judge(measured(0.52), CALIBRATION, CLEAN, 0.99)
    assert (verdict.word, verdict.kind) == ("Not fit to ship", "bad")
    assert verdict.against[0].startswith("It is not surely better than always answering <bdi>cat</bdi>")


def test_few_images_call_for_care() -> None:
    verdict = judge(measured(0.9, 50), CALIBRATION, CLEAN, 0.99)
    assert verdict.word == "Fit to ship, with care"
    assert verdict.against[0].startswith("50 held-out images are few: its accuracy may be anything from ")


def test_what_speaks_against_a_model_is_said() -> None:
    metrics = measured(0.97)
    rows = {**metrics.per_class, "dog": metrics.per_class["dog"].model_copy(update={"recall": 0.3})}
    verdict = judge(
        metrics.model_copy(update={"per_class": rows}),
        replace(CALIBRATION, ece_after=0.08, kept=0),
        {"not_heldout": ["owl", "emu"], "conflicts": [["a", "b"]]},
        0.99,
    )
    assert [reason.split(" (")[0] for reason in verdict.against] == [
        "It misses most images of <bdi>dog</bdi>",
        "Nothing is held out of <bdi>owl</bdi> and 1 more class, so how well that is told is not known",
        "However sure it is, it is not right 99&nbsp;% of the time: it cannot say when to abstain",
        "Its probabilities are off by 8.0&nbsp;% on average",
        "The data contradict themselves: 1 image stands under two labels or more",
    ]


def test_a_name_in_what_is_said_is_no_markup_and_keeps_its_direction_to_itself() -> None:
    hostile = "<b>\u05d0" + "z" * 5000
    verdict = judge(measured(0.97), CALIBRATION, {"not_heldout": [hostile], "conflicts": []}, 0.99)
    (reason,) = verdict.against
    assert reason.startswith("Nothing is held out of <bdi>&lt;b&gt;\u05d0zzz")
    assert reason.endswith("zzz</bdi>, so how well that is told is not known")
    assert len(reason) < 200


def test_a_target_is_not_rounded_to_what_nobody_asked_for() -> None:
    (reason,) = judge(measured(0.97), replace(CALIBRATION, kept=0), CLEAN, 0.995).against
    assert "not right 99.5&nbsp;% of the time" in reason


def test_a_class_of_few_images_is_not_judged() -> None:
    verdict = judge(measured(1.0, 8), CALIBRATION, CLEAN, 0.99)
    assert verdict.weakest is None
