"""Strangers are further away, and the threshold leaves the share of held-out images that was asked."""

import numpy as np
import pytest

from fovea.model.distance import psi
from fovea.truth.novelty import OutOfDistribution
from tests.tiny import KNOWN_CLASSES
from trainer.evaluate.metrics import accuracy_interval
from trainer.truth.novelty import (
    MAKERS,
    OF_EACH,
    Surroundings,
    auroc,
    describe_novelty,
    sample_by_class,
)

NOTHING = np.empty((0, 3), np.float32)


def test_auroc_is_how_often_a_stranger_is_further_away_and_half_of_ties() -> None:
    random = np.random.default_rng(0)
    known, strangers = random.integers(0, 9, 40) / 8, random.integers(3, 12, 25) / 8
    pairs = strangers[:, None] - known
    assert auroc(known, strangers) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert auroc(known, known) == pytest.approx(0.5)
    assert auroc(np.zeros(3), np.ones(2)) == 1


@pytest.mark.parametrize("share", [0.9, 0.99, 1.0])
def test_the_share_that_was_asked_is_at_the_threshold_or_nearer(share: float) -> None:
    known = np.random.default_rng(1).random(150).astype(np.float32)
    around = Surroundings(KNOWN_CLASSES, NOTHING, {"noise": known + 1})
    novelty = describe_novelty(around, known, None, share, np.array([3, 1]))
    assert novelty.measured is None
    assert share <= (known <= np.float32(novelty.threshold)).mean() < share + 2 / 150
    assert (novelty.share, novelty.auroc) == (share, {"noise": 1.0})
    assert novelty.golden == (known[3], known[1])
    assert (novelty.quantiles[0], novelty.quantiles[-1]) == (known.min(), known.max())
    assert sorted(novelty.quantiles) == list(novelty.quantiles)


def test_the_share_unknown_is_measured_on_images_that_chose_nothing() -> None:
    known = np.linspace(0, 1, 101, dtype=np.float32)
    tested = np.array([0.5, 0.95, 0.951, 1.5], np.float32)
    strangers = np.array([0.8, 1.2], np.float32)
    around = Surroundings(KNOWN_CLASSES, NOTHING, {"noise": known}, {"noise": strangers})
    novelty = describe_novelty(around, known, tested, 0.95, np.array([0]))
    assert novelty.measured is not None
    assert novelty.threshold == np.float32(0.95)
    assert (novelty.measured.images, novelty.measured.unknown) == (4, 2)
    assert novelty.measured.interval_95 == accuracy_interval(2, 4)
    assert novelty.auroc["noise"] == pytest.approx(0.5)
    assert novelty.measured.auroc["noise"] == 0.5


def test_tied_distances_are_counted_where_they_are_placed() -> None:
    """Equal parts would be told apart from the same images, half of which are training images again."""
    known = np.concatenate([np.zeros(200), np.random.default_rng(2).random(200)]).astype(np.float32)
    novelty = describe_novelty(Surroundings(KNOWN_CLASSES, NOTHING, {}), known, None, 0.9, np.array([0]))
    assert OutOfDistribution.model_validate_json(novelty.model_dump_json()) == novelty
    seen = np.bincount([novelty.place(distance) for distance in known.tolist()], minlength=20)
    assert (novelty.counts()[0], novelty.counts().sum()) == (200, 400)
    assert psi(seen, novelty.counts()) == 0


def test_a_sample_has_some_of_each_class_and_beyond_that_as_many_as_there_are() -> None:
    targets = np.repeat([0, 1, 2, 3], [800, 160, 40, 3])
    chosen = sample_by_class(targets, 103, seed=0)
    assert len(set(chosen.tolist())) == 103
    counts = np.bincount(targets[chosen])
    assert counts[3] == 3
    assert counts[2] == OF_EACH
    assert counts[0] == pytest.approx(5 * counts[1], abs=3)
    assert np.array_equal(chosen, sample_by_class(targets, 103, seed=0))
    assert not np.array_equal(chosen, sample_by_class(targets, 103, seed=1))
    assert np.bincount(targets[sample_by_class(targets, 8, seed=0)]).tolist() == [2, 2, 2, 2]
    assert np.array_equal(sample_by_class(targets, 2000, seed=0), np.arange(1003))
    of_600_classes = sample_by_class(np.repeat(np.arange(600), 6), 2000, seed=0)
    assert np.bincount(np.bincount(of_600_classes // 6)).tolist() == [0, 0, 0, 400, 200]


def test_strangers_are_made_of_images_and_are_others() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    made = {kind: make(crops, np.random.default_rng(1)) for kind, make in MAKERS.items()}
    assert np.array_equal(made["inverted"], 255 - crops)
    for pixels in made.values():
        assert pixels.shape == crops.shape
        assert pixels.dtype == np.uint8
    kept = (made["corrupted"] == crops).all(3).mean()
    assert 0.35 < kept < 0.65
    assert (made["noise"] == crops).mean() < 0.05
