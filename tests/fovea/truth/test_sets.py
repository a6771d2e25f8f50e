"""Prediction sets, beside a plain version of them that follows the paper label by label."""

import math
import zlib

import numpy as np
import pytest

from fovea.model.classifier import top_k
from fovea.truth.sets import (
    Floats,
    Indices,
    PredictionSets,
    Probabilities,
    draws,
    fewest_images,
    label_sets,
    quantile_of,
    scores_of,
    sizes,
)


def made(images: int, classes: int, seed: int) -> tuple[Probabilities, Indices, Floats]:
    """Probabilities, among them equal ones and certain ones, the truth drawn by them, and draws."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (images, classes)).round(1)
    logits[::7] = 0
    logits[3::7, 0] = 40
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    cumulated = probabilities.cumsum(1, dtype=np.float64)
    targets = (generator.random((images, 1)) * cumulated[:, -1:] > cumulated).sum(1)
    return probabilities, targets, generator.random(images)


def plain_score(row: list[float], label: int, draw: float) -> float:
    above = [p for other, p in enumerate(row) if p > row[label] or (p == row[label] and other < label)]
    return math.fsum(above) + draw * row[label]


@pytest.mark.parametrize("seed", range(20))
def test_sets_are_those_of_the_plain_version(seed: int) -> None:
    classes = 2 + seed
    probabilities, targets, draw = made(40, classes, seed)
    rows = probabilities.tolist()
    plain = [
        [plain_score(row, label, u) for label in range(classes)] for row, u in zip(rows, draw, strict=True)
    ]
    of_truth = [row[target] for row, target in zip(plain, targets, strict=True)]
    scores = scores_of(probabilities, targets, draw)
    assert scores == pytest.approx(of_truth, abs=1e-9)
    coverage = (0.5, 0.8, 0.9, 0.95)[seed % 4]
    quantile = quantile_of(scores, coverage)
    assert quantile is not None
    below = sorted(score for score in scores if score <= quantile)
    assert len(below) >= coverage * 41 - 1e-9
    assert len(below) < coverage * 41 + 1

    between = quantile + 1e-7  # no rounding decides
    sets = label_sets(probabilities, draw, between)
    assert [set(labels) for labels in sets] == [
        {label for label, score in enumerate(row) if score <= between} for row in plain
    ]
    best, _ = top_k(probabilities, classes)
    assert [labels == row[: len(labels)] for labels, row in zip(sets, best.tolist(), strict=True)] == [
        True
    ] * 40
    assert sizes(probabilities, draw, between).tolist() == list(map(len, sets))
    holds = [target in labels for target, labels in zip(targets, sets, strict=True)]
    assert holds == (scores <= between).tolist()


def test_they_hold_the_truth_as_often_as_was_asked_also_of_a_model_that_is_too_sure() -> None:
    """Mean over draws of the calibration images; the standard error is below .002."""
    probabilities, targets, draw = made(40_000, 5, 1)
    too_sure = probabilities**2 / (probabilities**2).sum(1, keepdims=True)
    for answers in (probabilities, too_sure):
        scores = scores_of(answers, targets, draw).reshape(200, 200)
        for coverage in (0.6, 0.9, 0.95):
            chosen, others = scores[:, :100], scores[:, 100:]
            quantiles = [quantile_of(row, coverage) for row in chosen]
            covered = np.mean([(row <= q).mean() for row, q in zip(others, quantiles, strict=True)])
            assert coverage - 0.008 < covered < coverage + 1 / 101 + 0.008


def test_a_set_may_be_empty_and_may_hold_every_label() -> None:
    probabilities = np.array([[0.99, 0.01], [0.5, 0.5]], np.float32)
    assert label_sets(probabilities, np.array([0.99, 0.1]), 0.9) == [[], [0, 1]]
    assert label_sets(probabilities, np.array([0.2, 0.9]), 0.9) == [[0], [0]]


@pytest.mark.parametrize(("coverage", "needed"), [(0.5, 1), (0.9, 9), (0.95, 19), (0.99, 99), (0.999, 999)])
def test_too_few_images_give_no_quantile(coverage: float, needed: int) -> None:
    assert fewest_images(coverage) == needed
    scores = np.linspace(0, 1, needed)
    assert quantile_of(scores, coverage) == 1 or needed == 1
    assert quantile_of(scores[1:], coverage) is None


def test_an_images_draw_is_of_its_pixels_alone() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2000, 8, 8, 3), np.uint8)
    drawn = draws(crops)
    assert drawn[7] == zlib.crc32(crops[7].tobytes()) / 2**32 == draws(crops[7:8])[0]
    flipped = crops[:, :, ::-1]
    assert draws(flipped)[3] == draws(np.ascontiguousarray(flipped[3:4]))[0]
    assert np.histogram(drawn, 10, (0, 1))[0].min() > 150


def test_rows_that_sum_to_a_little_more_than_one_have_scores_that_do_not() -> None:
    rows = np.full((400, 10), 0.1, np.float32)
    rows[:, 0] = np.nextafter(np.float32(0.1), np.float32(1))
    assert (rows.astype(np.float64).sum(axis=1) > 1).all()
    least = scores_of(rows, np.full(400, 9), np.full(400, 1 - 2**-32))
    assert least.max() <= 1
    quantile = quantile_of(least, 0.95)
    assert quantile is not None
    PredictionSets(coverage=0.95, quantile=quantile, images=400)
    assert (sizes(rows, np.full(400, 1 - 2**-32), quantile) == 10).all()
