"""How far an image is from its neighbours: by brute force, in batches of any size, and read from a bundle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fovea.errors import BundleInvalid
from fovea.model.bundle import ModelBundle, read_contract, seal
from fovea.model.classifier import Classifier
from fovea.truth.novelty import (
    REFERENCE_FILE,
    Embeddings,
    Neighbours,
    OutOfDistribution,
    read_neighbours,
    write_reference,
)
from tests import tiny


def directions(count: int, values: int = 96, seed: int = 0) -> Embeddings:
    drawn = np.random.default_rng(seed).standard_normal((count, values)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


@pytest.mark.parametrize("k", [1, 5, 40])
def test_the_distance_is_one_less_the_kth_largest_cosine(k: int) -> None:
    references, others = directions(40), directions(9, seed=1)
    cosines = np.sort(others.astype(np.float64) @ references.astype(np.float64).T, axis=1)[:, ::-1]
    distances = Neighbours(references, k).distances(others)
    assert distances.dtype == np.float32
    assert distances == pytest.approx(1 - cosines[:, k - 1], abs=1e-6)


def test_an_image_has_the_same_distance_to_the_bit_in_a_batch_of_any_size() -> None:
    neighbours, others = Neighbours(directions(300, 1024), 5), directions(37, 1024, seed=1)
    whole = neighbours.distances(others)
    for size in (1, 2, 7, 16):
        parts = [neighbours.distances(others[start : start + size]) for start in range(0, 37, size)]
        assert np.array_equal(np.concatenate(parts), whole)
    spaced = np.empty((37, 1025), np.float32)
    spaced[:, 1:] = others
    assert np.array_equal(neighbours.distances(spaced[:, 1:]), whole)


def test_distances_are_between_nothing_and_two() -> None:
    references = directions(6)
    assert Neighbours(references, 1).distances(references) == pytest.approx(0, abs=1e-6)
    assert (Neighbours(references, 1).distances(references) >= 0).all()
    assert Neighbours(references[:1], 1).distances(-references[:1]) == pytest.approx(2, abs=1e-6)


def test_there_are_as_many_references_as_neighbours_are_counted() -> None:
    with pytest.raises(ValueError, match=r"at least 5 references \[m, D\], not \(4, 96\)"):
        Neighbours(directions(4), 5)


@pytest.mark.parametrize(
    "counts",
    [(4, 2, 3), (4, 2, 3, 3, 0), (0, 0, 0, 0), (4, 2, 7, -1)],
    ids=["few", "many", "none", "negative"],
)
def test_counts_that_do_not_fit_the_quantiles_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="images_by_part"):
        OutOfDistribution(**{**tiny.NOVELTY.model_dump(), "images_by_part": counts})


def test_no_image_lies_between_equal_quantiles_but_those_of_the_lowest_part() -> None:
    fields = {**tiny.NOVELTY.model_dump(), "quantiles": (0, 0, 0, 0.01, 0.05)}
    assert OutOfDistribution(**{**fields, "images_by_part": (6, 0, 3, 3)}).counts().tolist() == [6, 0, 3, 3]
    with pytest.raises(ValidationError, match="counts images in part 1, between equal quantiles"):
        OutOfDistribution(**fields)
    assert OutOfDistribution(**{**fields, "images_by_part": None}).counts().tolist() == [0, 0, 0, 0]


def test_references_that_are_none_are_refused(tmp_path: Path) -> None:
    write_reference(tmp_path, directions(6))
    assert read_neighbours(tmp_path / REFERENCE_FILE, 5).values == 96
    wrongs: list[Any] = [directions(4), directions(6).astype(np.float64), np.full((6, 3), np.nan, np.float32)]
    for wrong in wrongs:
        write_reference(tmp_path, wrong)
        with pytest.raises(BundleInvalid, match=REFERENCE_FILE):
            read_neighbours(tmp_path / REFERENCE_FILE, 5)
    (tmp_path / REFERENCE_FILE).write_bytes(b"")
    with pytest.raises(BundleInvalid, match=REFERENCE_FILE):
        read_neighbours(tmp_path / REFERENCE_FILE, 5)


def test_a_bundle_tells_a_stranger_and_an_older_one_has_nothing_to_tell_it_by(tmp_path: Path) -> None:
    bundle = tiny.stage_bundle(tmp_path / "new", embeds=True)
    neighbours, novelty = bundle.neighbours(), bundle.contract.out_of_distribution
    assert neighbours
    assert novelty
    grey = np.full((1, 16, 16, 3), 128, np.uint8)
    crops = np.concatenate([bundle.golden().crops, grey])
    classifier = Classifier(bundle, "cpu", 1)
    probabilities, embeddings = classifier.classify_with_embeddings(crops)
    assert np.array_equal(probabilities, classifier.classify(crops))
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-6)
    assert (neighbours.distances(embeddings) > novelty.threshold).tolist() == [False] * 6 + [True]
    old = tiny.stage_bundle(tmp_path / "old")
    assert (old.neighbours(), old.contract.gives_embeddings) == (None, False)


def test_a_contract_that_knows_strangers_has_references_that_fit(tmp_path: Path) -> None:
    folder = tiny.stage_bundle(tmp_path / "tiny", embeds=True).path
    write_reference(folder, directions(6, 4))
    with pytest.raises(BundleInvalid, match=r"reference\.npy: its shape does not fit"):
        seal(folder, read_contract(folder)).neighbours()
    (folder / REFERENCE_FILE).unlink()
    seal(folder, read_contract(folder))
    with pytest.raises(BundleInvalid, match=r"lists no reference\.npy"):
        ModelBundle.open(folder)
