"""What is known of the classes has the covariance that Ledoit and Wolf would shrink, of whatever images."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from fovea.truth.known_classes import Embeddings
from trainer.truth import classes
from trainer.truth.classes import know_classes, shrinkage
from trainer.truth.novelty import auroc


def drawn(count: int, values: int = 24, seed: int = 0) -> Embeddings:
    """Of three classes, in turns."""
    random = np.random.default_rng(seed)
    means = np.eye(3, values) * 2
    off = random.standard_normal((count, values)) * random.uniform(0.1, 0.5, values)
    embeddings = means[np.arange(count) % 3] + off
    return np.asarray(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("count", [12, 90])
def test_distances_are_those_of_scikit_learns_covariance(count: int) -> None:
    """With fewer images than values, and with more."""
    embeddings, targets, others = drawn(count), np.arange(count) % 3, drawn(7, seed=1)
    means = np.stack([embeddings[targets == each].mean(0, dtype=np.float64) for each in range(3)])
    freedom = (count - 3) / count  # what the means have taken; scikit-learn divides by all images
    fitted = LedoitWolf(assume_centered=True).fit(embeddings - means[targets])
    off = others[:, None] - means
    squares = np.einsum("ncd,de,nce->nc", off, fitted.precision_ * freedom, off)
    distances = know_classes(embeddings, targets).distances(others)
    assert distances == pytest.approx(np.sqrt(squares.min(1) / 24), rel=1e-4)
    assert shrinkage(embeddings - means[targets]) == pytest.approx(fitted.shrinkage_)


def test_strangers_are_further_away_along_few_directions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, targets = drawn(300), np.arange(300) % 3
    strangers = np.roll(drawn(60, seed=1), 7, axis=1)
    whole = know_classes(embeddings, targets)
    monkeypatch.setattr(classes, "LEAST_DIRECTIONS", 6)
    few = know_classes(embeddings, targets)
    assert (few.directions.shape, few.means.shape) == ((6, 24), (3, 6))
    for known in (whole, few):
        assert known.directions @ known.directions.T == pytest.approx(np.eye(len(known.directions)), abs=1e-6)
        assert np.sqrt((known.distances(embeddings) ** 2).mean()) == pytest.approx(1, abs=0.1)
        assert auroc(known.distances(drawn(60, seed=2)), known.distances(strangers)) > 0.98


def test_classes_of_one_image_are_known_by_it() -> None:
    embeddings, targets = drawn(90), np.arange(90) % 3
    lone = np.roll(embeddings[:1], 9, axis=1)
    known = know_classes(np.concatenate([embeddings, lone]), np.append(targets, 7))
    assert len(known.means) == 4
    assert known.distances(lone) == pytest.approx(0, abs=1e-3)
    only = know_classes(embeddings[:3], targets[:3])
    assert only.distances(embeddings[:3]) == pytest.approx(0, abs=1e-2)
    assert (only.distances(drawn(9, seed=1)) > 1).all()


@pytest.mark.parametrize("count", [1, 2, 30])
def test_embeddings_that_are_all_the_same_tell_all_others_from_them(count: int) -> None:
    """Rounding is no difference; a bundle of such a network is opened all the same."""
    same = np.repeat(drawn(1), count, axis=0)
    known = know_classes(same, np.arange(count) % 2)
    assert all(np.isfinite(each).all() for each in vars(known).values())
    assert known.distances(same + np.float32(1e-7)) == pytest.approx(0, abs=1e-2)
    assert (known.distances(drawn(9, seed=1)) > 10).all()
