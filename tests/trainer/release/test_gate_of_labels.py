"""The release gate on a multi-label model that takes no training: what has to agree is which are selected."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fovea.errors import GateRefused
from fovea.images.preprocess import decode_image
from fovea.model.sessions import SessionOptions, open_session
from tests import tiny
from tests.trainer.conftest import train_settings
from tests.trainer.release.test_gate_limits import Candidate
from trainer.evaluate.task import STRATEGIES
from trainer.images.batches import Images
from trainer.images.label_split import marks_of
from trainer.images.sources import Sample
from trainer.release.chosen import choose
from trainer.release.gate import Reference, pass_gate

SHOWN = {
    "red": ("red",),
    "green": ("green",),
    "blue": ("blue",),
    "yellow": ("green", "red"),
    "white": ("blue", "green", "red"),
    "black": (),
}


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """Two pictures of each colour; what the torch network would have said is what the model says."""
    folder = tmp_path_factory.mktemp("labels")
    bundle = tiny.stage_bundle(folder / "1", multi=True, embeds=True)
    samples = []
    for number, (colour, labels) in enumerate([*SHOWN.items()] * 2):
        file = folder / f"{number}.png"
        file.write_bytes(tiny.picture(colour, (40 + number, 30)))
        samples.append(Sample(file, ";".join(labels), file.name, None, labels))
    crops = np.stack([decode_image(sample.read(), tiny.SPEC) for sample in samples])
    marks = marks_of(samples, bundle.contract.labels)
    heldout = Images(crops, np.arange(len(samples)), marks, tuple(samples))
    probabilities, embeddings = open_session(bundle.model_path, "cpu", SessionOptions(1)).run(
        ["probabilities", "embedding"], {"pixels": crops}
    )
    reference = Reference(heldout, probabilities, embeddings, None, bundle.contract.labels)
    return Candidate(bundle.model_path, bundle.contract, reference)


def test_the_model_passes_and_is_measured_by_its_thresholds(candidate: Candidate) -> None:
    passed = pass_gate(candidate.model, candidate.contract, candidate.reference, threads=1)
    assert passed.measured.metrics.accuracy == 1
    assert passed.measured.label_metrics is not None
    assert passed.measured.label_metrics.map == 1
    assert passed.measured.label_metrics.per_label["red"].images == 6


def test_two_swapped_labels_are_refused(candidate: Candidate) -> None:
    swapped = candidate.contract.model_copy(update={"labels": ("green", "red", "blue")})
    with pytest.raises(GateRefused, match=r"^labels: "):
        replace(candidate, contract=swapped).measure()


def test_a_temperature_that_is_not_the_contracts_is_refused(candidate: Candidate, tmp_path: Path) -> None:
    model = onnx.load(candidate.model)
    for tensor in model.graph.initializer:
        if tensor.name == "temperatures":
            tensor.CopyFrom(numpy_helper.from_array(np.array([1, 1.3, 0.8], np.float32), tensor.name))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(GateRefused, match=r"^weights: .* a probability of the ONNX model is off by"):
        replace(candidate, model=tmp_path / "model.onnx").measure()


def test_a_label_that_is_selected_where_torch_selects_it_not_is_refused(candidate: Candidate) -> None:
    reference = candidate.reference
    other = np.where(reference.probabilities > 0.9, np.float32(0.1), reference.probabilities)
    with pytest.raises(GateRefused, match="selected labels agree with the torch model's on"):
        replace(candidate, reference=replace(reference, probabilities=other)).measure()


def test_an_image_agrees_where_all_its_labels_do(candidate: Candidate) -> None:
    reference = candidate.reference
    other = reference.probabilities.copy()
    other[:3, 0] = np.where(reference.probabilities[:3, 0] >= tiny.THRESHOLDS[0], 0, 1)
    with pytest.raises(GateRefused, match=r"on 75\.00% of 12 held-out images"):
        replace(candidate, reference=replace(reference, probabilities=other)).measure()


def test_an_image_is_right_where_all_its_labels_are(candidate: Candidate) -> None:
    samples, contract = candidate.reference.heldout.samples, candidate.contract
    probabilities = candidate.reference.probabilities.copy()
    probabilities[0, 1] = 1  # red, and green too
    right = STRATEGIES["multi"].right(probabilities, samples, contract.labels, contract)
    assert right.tolist() == [False] + [True] * 11


@pytest.mark.parametrize(
    ("options", "target"), [({}, None), ({"thresholds": "precision", "target_precision": 0.8}, 0.8)]
)
def test_thresholds_are_chosen_by_the_rule_that_was_asked_for(
    candidate: Candidate, tmp_path: Path, options: dict[str, Any], target: float | None
) -> None:
    settings = train_settings(Path("labels.csv"), tmp_path, task="multi", **options)
    heldout = candidate.reference.heldout
    logits = np.random.default_rng(0).normal(0, 1, heldout.targets.shape).astype(np.float32)
    terms = choose(logits, heldout, settings).terms()
    assert (terms["task"], terms["format"], terms["temperature"]) == ("multi", 2, 1.0)
    assert terms["threshold_rule"].target_precision == target
    assert len(terms["thresholds"]) == len(terms["temperatures"]) == 3
