import numpy as np
import pytest

from fovea.capture.reasons import REASONS, Reason, Rules, margin_of, margin_of_labels

RULES = Rules(share=0.1, margin=0.2)
NOTHING = {"abstained": False, "unknown": None, "is_drifting": False, "is_close": False}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, None),
        ({"unknown": True}, "unknown"),
        ({"unknown": False}, None),
        ({"abstained": True, "is_close": True}, "abstained"),
        ({"abstained": True, "unknown": True}, "unknown"),
        ({"is_drifting": True, "is_close": True}, "drifting_class"),
        ({"is_close": True}, "small_margin"),
        ({"is_close": True, "disagrees": True}, "small_margin"),
        ({"disagrees": True}, "disagreement"),
    ],
)
def test_the_first_reason_that_holds_is_told(facts: dict[str, bool], reason: Reason | None) -> None:
    assert RULES.reason(0.1, **{**NOTHING, **facts}) == reason  # type: ignore[arg-type]


def test_a_share_of_all_answers_is_taken_whatever_they_are() -> None:
    assert RULES.reason(0.0999, **{**NOTHING, "unknown": True}) == "uniform"  # type: ignore[arg-type]
    assert Rules(0, 0.2).reason(0.0, **NOTHING) is None  # type: ignore[arg-type]
    assert REASONS[0] == "uniform"


@pytest.mark.parametrize(
    ("probabilities", "margin", "is_close"),
    [
        ([0.2, 0.55, 0.25], 0.3, False),
        ([0.5, 0.1, 0.4], 0.1, True),
        ([0.7, 0.3], 0.4, False),
        ([1], 1, False),
    ],
)
def test_an_answer_is_close_whose_second_is_near(
    probabilities: list[float], margin: float, is_close: bool
) -> None:
    row = np.array(probabilities, np.float32)
    assert margin_of(row) == pytest.approx(margin, abs=1e-6)
    assert RULES.is_close(row, float(row.max())) == is_close


@pytest.mark.parametrize(
    ("probability", "threshold", "margin"),
    [
        (0.45, 0.5, 0.1),
        (0.55, 0.5, 0.1),
        (0.001, 0.08, 0.977),
        (0.08, 0.08, 0),
        (0.09, 0.08, 0.064),
        (0.999, 0.95, 0.963),
        (0, 0.08, 1),
        (1, 0.08, 1),
        (0.9, 1.0000001, 1),
        (1, 1, 1),
        (0, 0, 1),
    ],
)
def test_label_is_near_to_its_threshold_by_its_odds(
    probability: float, threshold: float, margin: float
) -> None:
    """A label that is rarely selected has a low threshold, and is surely absent from nearly all images."""
    row, thresholds = np.array([0.999, probability], np.float32), np.array([0.5, threshold], np.float32)
    assert margin_of_labels(row, thresholds) == pytest.approx(min(margin, 0.998), abs=1e-3)
    mirrored = margin_of_labels(1 - row[1:], 1 - thresholds[1:])
    assert mirrored == pytest.approx(margin, abs=1e-3), "yes and no are alike"


def test_what_is_no_number_speaks_for_nothing_and_harms_nothing() -> None:
    row = np.array([np.nan, 0.5], np.float32)
    assert RULES.reason(0.5, **{**NOTHING, "is_close": RULES.is_close(row, float(row[0]))}) is None  # type: ignore[arg-type]
