"""The release gate on a model of three classes that takes no training: its limits, chunks and names."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fovea.errors import GateRefused
from fovea.images.preprocess import Pixels, decode_image
from fovea.model.bundle import BundleContract
from fovea.model.classifier import Classifier
from fovea.model.sessions import SessionOptions
from tests.tiny import picture, stage_bundle
from trainer.evaluate.metrics import Logits
from trainer.images.batches import Images
from trainer.images.sources import Sample
from trainer.release import gate
from trainer.release.gate import Reference, measure_variant, pass_gate


@dataclass(frozen=True)
class Candidate:
    """What the gate is given."""

    model: Path
    contract: BundleContract
    reference: Reference

    def measure(self) -> float:
        return pass_gate(self.model, self.contract, self.reference, threads=1).accuracy


def test_swapped_labels_of_classes_without_heldout_images_are_refused(tmp_path: Path) -> None:
    """Their order changes no accuracy."""
    bundle = stage_bundle(tmp_path / "tiny")
    (tmp_path / "red.png").write_bytes(picture("red"))
    crop = decode_image(picture("red"), bundle.contract.preprocess)[None]
    labels = bundle.contract.labels
    target, sample = np.array([labels.index("red")]), Sample(tmp_path / "red.png", "red")
    heldout = Images(crop, np.array([0]), target, (sample,))
    probabilities = Classifier(bundle, "cpu", 1).classify(crop)
    sound = Candidate(bundle.model_path, bundle.contract, Reference(heldout, probabilities, labels))
    assert sound.measure() == 1.0
    others = [label for label in labels if label != "red"]
    order = tuple({others[0]: others[1], others[1]: others[0]}.get(label, label) for label in labels)
    swapped = bundle.contract.model_copy(update={"labels": order})
    with pytest.raises(GateRefused, match=r"^labels: "):
        replace(sound, contract=swapped).measure()


@pytest.fixture
def many(tmp_path: Path) -> Candidate:
    """300 images, more than are decoded at a time."""
    bundle = stage_bundle(tmp_path / "tiny")
    labels, samples = bundle.contract.labels, []
    for label in labels:
        (tmp_path / f"{label}.png").write_bytes(picture(label))
        samples.append(Sample(tmp_path / f"{label}.png", label))
    crops = np.stack([decode_image(sample.read(), bundle.contract.preprocess) for sample in samples])
    rows = np.arange(300) % 3
    heldout = Images(crops, rows, rows, tuple(samples[row] for row in rows))
    probabilities = Classifier(bundle, "cpu", 1).classify(crops)[rows]
    return Candidate(bundle.model_path, bundle.contract, Reference(heldout, probabilities, labels))


def test_all_images_are_run_and_the_first_chunk_at_each_batch_size(
    many: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = gate._run, []

    def noting(session: Any, crops: Pixels, batch_size: int) -> Logits:
        seen.append((len(crops), batch_size))
        return run(session, crops, batch_size)

    monkeypatch.setattr(gate, "_run", noting)
    measured = pass_gate(many.model, many.contract, many.reference, threads=1)
    assert (measured.images, measured.accuracy) == (300, 1)
    assert {row.images for row in measured.per_class.values()} == {100}
    assert seen == [(256, 1), (256, 2), (256, 7), (256, 64), (44, 64)]
    metrics, probabilities = measure_variant(
        many.model, many.contract, many.reference.heldout, SessionOptions(1)
    )
    assert (metrics.images, metrics.accuracy) == (300, 1)
    assert probabilities == pytest.approx(many.reference.probabilities, abs=1e-6)


def test_a_fault_in_the_last_image_is_found(many: Candidate, tmp_path: Path) -> None:
    reference, heldout = many.reference, many.reference.heldout
    probabilities = reference.probabilities.copy()
    probabilities[-1] += np.array([0.002, -0.002, 0], np.float32)
    with pytest.raises(GateRefused, match=r"weights: at batch size 64 a probability .* off by 0.002"):
        replace(many, reference=replace(reference, probabilities=probabilities)).measure()
    (tmp_path / "other.png").write_bytes(picture("blue", (41, 30)))
    samples = (*heldout.samples[:-1], Sample(tmp_path / "other.png", "blue"))
    with pytest.raises(GateRefused, match=r"preprocess: .*other\.png decodes to other pixels"):
        replace(many, reference=replace(reference, heldout=replace(heldout, samples=samples))).measure()
    with pytest.raises(GateRefused, match="the contract has 3 labels and training had 4"):
        replace(many, reference=replace(reference, labels=(*reference.labels, "black"))).measure()


def test_labels_are_as_many_as_probabilities_and_stand_in_their_order(many: Candidate) -> None:
    labels = many.contract.labels
    for wrong, said in (
        (labels[:-1], "the model gives 3 probabilities, the contract has 2 labels and training had 3"),
        (
            (labels[1], labels[0], labels[2]),
            "under the contract's labels the held-out accuracy is 33.33%, the",
        ),
    ):
        contract = many.contract.model_copy(update={"labels": wrong})
        with pytest.raises(GateRefused, match=f"^labels: {said}"):
            replace(many, contract=contract).measure()


def test_a_variant_without_numbers_is_refused(many: Candidate, tmp_path: Path) -> None:
    model = onnx.load(many.model)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    weights.CopyFrom(numpy_helper.from_array(np.full((3, 3), np.nan, np.float32), "weights"))
    onnx.save(model, tmp_path / "model.fp16.onnx")
    with pytest.raises(GateRefused, match=r"model\.fp16\.onnx gives probabilities that are no numbers"):
        measure_variant(
            tmp_path / "model.fp16.onnx", many.contract, many.reference.heldout, SessionOptions(1)
        )
    with pytest.raises(GateRefused, match=r"^weights: at batch size 1 "):
        replace(many, model=tmp_path / "model.fp16.onnx").measure()
    none = np.full_like(many.reference.probabilities, np.nan)
    with pytest.raises(GateRefused, match=r"^weights: at batch size 1 "):
        replace(many, reference=replace(many.reference, probabilities=none)).measure()


def test_numbers_may_be_off_by_a_thousandth_and_one_answer_in_a_thousand(many: Candidate) -> None:
    expected = np.tile([0.4999, 0.5, 0.0], (1000, 1))
    reference = replace(many.reference, probabilities=expected)
    for off, turned, is_refused in (
        (0.001, 0, False),
        (0.0011, 0, True),
        (0, 1, False),
        (0, 2, True),
        (float("nan"), 0, True),
    ):
        probabilities = expected.copy()
        probabilities[7, 2] = off
        probabilities[:turned, 0] = 0.5001
        with pytest.raises(GateRefused) if is_refused else nullcontext():
            gate._check_numbers(probabilities, reference, 1)


def test_accuracy_under_the_contracts_labels_may_be_off_by_a_thousandth(many: Candidate) -> None:
    """Of 4,000 images, by three and by five."""
    answers = np.tile(np.eye(3, dtype=np.float32)[0], (4000, 1))
    samples = (Sample(Path("red.png"), many.contract.labels[0]),) * 4000
    heldout = Images(answers, np.arange(4000), np.zeros(4000, np.int64), samples)
    reference = Reference(heldout, answers, many.contract.labels)
    for wrong in (3, 5):
        probabilities = answers.copy()
        probabilities[:wrong] = np.eye(3)[1]
        with pytest.raises(GateRefused) if wrong > 4 else nullcontext():
            gate._check_accuracy(probabilities, many.contract, reference)
