"""What a bundle tells of strangers, and that it measures as it did when it was released."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from fovea.errors import BundleInvalid
from fovea.model.bundle import CONTRACT_FILE, ModelBundle, Precision, read_contract, seal
from fovea.model.classifier import Classifier
from fovea.truth.known_classes import REFERENCE_FILE
from fovea.truth.novelty import OutOfDistribution
from tests import tiny


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


def test_a_bundle_tells_a_stranger_and_an_older_one_has_nothing_to_tell_it_by(tmp_path: Path) -> None:
    bundle = tiny.stage_bundle(tmp_path / "new", embeds=True)
    known_classes, novelty = bundle.known_classes(), bundle.contract.out_of_distribution
    assert known_classes
    assert novelty
    grey = np.full((1, 16, 16, 3), 128, np.uint8)
    crops = np.concatenate([bundle.golden().crops, grey])
    classifier = Classifier(bundle, "cpu", 1)
    probabilities, embeddings = classifier.classify_with_embeddings(crops)
    assert np.array_equal(probabilities, classifier.classify(crops))
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-6)
    assert (known_classes.distances(embeddings) > novelty.threshold).tolist() == [False] * 6 + [True]
    old = tiny.stage_bundle(tmp_path / "old")
    assert (old.known_classes(), old.contract.gives_embeddings) == (None, False)


def test_a_contract_that_knows_strangers_lists_the_reference(tmp_path: Path) -> None:
    folder = tiny.stage_bundle(tmp_path / "tiny", embeds=True).path
    (folder / REFERENCE_FILE).unlink()
    seal(folder, read_contract(folder))
    with pytest.raises(BundleInvalid, match=r"lists no reference\.npy"):
        ModelBundle.open(folder)


def test_a_bundle_of_a_build_that_measured_another_distance_has_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny.stage_bundle(tmp_path / "tiny", embeds=True).path
    told = json.loads((folder / CONTRACT_FILE).read_bytes())
    del told["out_of_distribution"]["golden"]
    told["out_of_distribution"]["k"] = 5
    (folder / CONTRACT_FILE).write_text(json.dumps(told))
    bundle = ModelBundle.open(folder)
    assert (bundle.contract.out_of_distribution, bundle.known_classes()) == (None, None)
    assert "answers without: release it again" in caplog.text
    assert Classifier(bundle, "cpu", 1).classify(bundle.golden().crops).shape == (6, 3)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_bundle_whose_distances_are_others_than_at_its_release_is_refused(
    tmp_path: Path, precision: Precision
) -> None:
    bundle = tiny.stage_bundle(tmp_path / "tiny", variants={"fp16": 8.0}, embeds=True)
    assert Classifier(bundle, "cpu", 1, precision, golden_images=2)
    expected = bundle.golden_distances(precision)
    assert expected is not None
    for golden, message in ((tuple((0.5 + expected).tolist()), "off by 0.5"), ((0.1,), "do not fit")):
        with pytest.raises(BundleInvalid, match=rf"distances .*{message}"):
            Classifier(with_golden(bundle, precision, golden), "cpu", 1, precision)


def with_golden(bundle: ModelBundle, precision: Precision, golden: tuple[float, ...]) -> ModelBundle:
    """Of the precision."""
    contract, novelty = bundle.contract, bundle.contract.out_of_distribution
    assert novelty is not None
    if precision == "fp32":
        changed = {"out_of_distribution": novelty.model_copy(update={"golden": golden})}
        return replace(bundle, contract=contract.model_copy(update=changed))
    variant = contract.variants[precision].model_copy(update={"golden_distances": golden})
    return replace(bundle, contract=contract.model_copy(update={"variants": {precision: variant}}))
