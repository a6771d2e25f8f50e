"""How far an image is from the classes: by the whole covariance, in batches of any size, and on disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.errors import BundleInvalid
from fovea.model.bundle import read_contract, seal
from fovea.truth.known_classes import (
    REFERENCE_FILE,
    Embeddings,
    KnownClasses,
    read_known_classes,
    write_known_classes,
)
from tests import tiny


def directions(count: int, values: int = 96, seed: int = 0) -> Embeddings:
    drawn = np.random.default_rng(seed).standard_normal((count, values)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def some_classes(classes: int = 4, r: int = 20, values: int = 96) -> KnownClasses:
    random = np.random.default_rng(3)
    right_angles = np.linalg.qr(random.standard_normal((values, r)))[0].T
    fields = (
        random.standard_normal(values) / 50,
        right_angles,
        random.uniform(1, 9, r + 1),
        random.random((classes, r)),
    )
    return KnownClasses(*(np.asarray(each, np.float32) for each in fields))


def test_the_distance_is_mahalanobis_to_the_nearest_mean_over_the_root_of_the_values() -> None:
    known, others = some_classes(), directions(9)
    centre, along, inverse, means = (each.astype(np.float64) for each in vars(known).values())
    across = np.eye(96) - along.T @ along
    precision = along.T @ np.diag(inverse[:-1] ** 2) @ along + inverse[-1] ** 2 * across
    off = others[:, None] - (centre + means / inverse[:-1] @ along)
    squares = np.einsum("ncd,de,nce->nc", off, precision, off)
    distances = known.distances(others)
    assert distances.dtype == np.float32
    assert distances == pytest.approx(np.sqrt(squares.min(axis=1) / 96), rel=1e-5)


def test_an_image_has_the_same_distance_to_the_bit_in_a_batch_of_any_size() -> None:
    known, others = some_classes(10, 300, 1024), directions(37, 1024, seed=1)
    whole = known.distances(others)
    for size in (1, 2, 7, 16):
        parts = [known.distances(others[start : start + size]) for start in range(0, 37, size)]
        assert np.array_equal(np.concatenate(parts), whole)
    spaced = np.empty((37, 1025), np.float32)
    spaced[:, 1:] = others
    assert np.array_equal(known.distances(spaced[:, 1:]), whole)
    assert np.array_equal(known.distances(np.asfortranarray(others)), whole)
    assert known.distances(others[:0]).shape == (0,)


def test_numpy_1_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    known, others = some_classes(), directions(5)
    expected = known.distances(others)
    monkeypatch.delattr(np, "vecdot")
    assert np.array_equal(known.distances(others), expected)


def test_a_mean_is_at_no_distance_and_no_number_is_at_none() -> None:
    known = some_classes()
    seen = known.means / known.inverse_deviations[:-1]
    means = np.asarray(known.centre + seen @ known.directions, np.float32)
    assert known.distances(means) == pytest.approx(0, abs=1e-3)
    assert (known.distances(means) >= 0).all()
    assert np.isnan(known.distances(np.full((1, 96), np.nan, np.float32))).all()
    assert tiny.NOVELTY.is_unknown(float("nan"))


def test_what_is_written_is_read_and_anything_else_is_refused(tmp_path: Path) -> None:
    known, others = some_classes(), directions(3)
    write_known_classes(tmp_path, known)
    again = read_known_classes(tmp_path / REFERENCE_FILE)
    assert np.array_equal(again.distances(others), known.distances(others))
    assert not again.directions.flags.owndata
    wrongs: list[dict[str, Any]] = [
        {"means": known.means[:, :-1]},
        {"means": known.means[:0]},
        {"means": known.means[0]},
        {"centre": known.centre[:-1]},
        {"inverse_deviations": known.inverse_deviations * 0},
        {"directions": known.directions * np.float32(np.nan)},
    ]
    for wrong in wrongs:
        write_known_classes(tmp_path, replace(known, **wrong))
        with pytest.raises(BundleInvalid, match=REFERENCE_FILE):
            read_known_classes(tmp_path / REFERENCE_FILE)
    np.save(tmp_path / REFERENCE_FILE, directions(6))
    with pytest.raises(BundleInvalid, match="one record of centre, directions"):
        read_known_classes(tmp_path / REFERENCE_FILE)
    (tmp_path / REFERENCE_FILE).write_bytes(b"")
    with pytest.raises(BundleInvalid, match=REFERENCE_FILE):
        read_known_classes(tmp_path / REFERENCE_FILE)


def test_a_contract_that_knows_strangers_has_a_reference_that_fits(tmp_path: Path) -> None:
    folder = tiny.stage_bundle(tmp_path / "tiny", embeds=True).path
    write_known_classes(folder, some_classes(values=24))
    with pytest.raises(BundleInvalid, match=r"reference\.npy: its shape does not fit"):
        seal(folder, read_contract(folder)).known_classes()
