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
from fovea.model.bundle import BundleContract, ModelBundle
from fovea.model.classifier import Classifier
from fovea.model.sessions import SessionOptions
from fovea.truth.known_classes import Embeddings
from tests.tiny import KNOWN_CLASSES, NOVELTY, picture, stage_bundle
from trainer.evaluate.metrics import Logits
from trainer.images.batches import Images
from trainer.images.sources import Sample
from trainer.release import gate
from trainer.release.gate import Reference, measure_released, pass_gate


@dataclass(frozen=True)
class Candidate:
    """What the gate is given."""

    model: Path
    contract: BundleContract
    reference: Reference

    def measure(self) -> float:
        return pass_gate(self.model, self.contract, self.reference, threads=1).measured.metrics.accuracy


def test_swapped_labels_of_classes_without_heldout_images_are_refused(tmp_path: Path) -> None:
    """Their order changes no accuracy."""
    bundle = stage_bundle(tmp_path / "tiny", embeds=True)
    (tmp_path / "red.png").write_bytes(picture("red"))
    crop = decode_image(picture("red"), bundle.contract.preprocess)[None]
    labels = bundle.contract.labels
    target, sample = np.array([labels.index("red")]), Sample(tmp_path / "red.png", "red")
    heldout = Images(crop, np.array([0]), target, (sample,))
    sound = Candidate(bundle.model_path, bundle.contract, reference_of(bundle, heldout))
    assert sound.measure() == 1.0
    others = [label for label in labels if label != "red"]
    order = tuple({others[0]: others[1], others[1]: others[0]}.get(label, label) for label in labels)
    swapped = bundle.contract.model_copy(update={"labels": order})
    with pytest.raises(GateRefused, match=r"^labels: "):
        replace(sound, contract=swapped).measure()


@pytest.fixture
def many(tmp_path: Path) -> Candidate:
    """300 images, more than are decoded at a time."""
    bundle = stage_bundle(tmp_path / "tiny", embeds=True)
    labels, samples = bundle.contract.labels, []
    for label in labels:
        (tmp_path / f"{label}.png").write_bytes(picture(label))
        samples.append(Sample(tmp_path / f"{label}.png", label))
    crops = np.stack([decode_image(sample.read(), bundle.contract.preprocess) for sample in samples])
    rows = np.arange(300) % 3
    heldout = Images(crops, rows, rows, tuple(samples[row] for row in rows))
    return Candidate(bundle.model_path, bundle.contract, reference_of(bundle, heldout))


def reference_of(bundle: ModelBundle, heldout: Images) -> Reference:
    """What the bundle's own model makes of the images."""
    pixels, known_classes = heldout.pixels(slice(None)), bundle.known_classes()
    probabilities, embeddings = Classifier(bundle, "cpu", 1).classify_with_embeddings(pixels)
    assert known_classes
    return Reference(heldout, probabilities, embeddings[: gate.CHUNK], known_classes, bundle.contract.labels)


def test_all_images_are_run_and_the_first_chunk_at_each_batch_size(
    many: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = gate._run, []

    def noting(session: Any, crops: Pixels, batch_size: int) -> tuple[Logits, Embeddings]:
        seen.append((len(crops), batch_size))
        return run(session, crops, batch_size)

    monkeypatch.setattr(gate, "_run", noting)
    passed = pass_gate(many.model, many.contract, many.reference, threads=1)
    measured = passed.measured.metrics
    assert passed.distances.shape == (300,)
    assert 0 <= passed.distances.min() <= passed.distances.max() <= NOVELTY.threshold
    assert (measured.images, measured.accuracy) == (300, 1)
    assert {row.images for row in measured.per_class.values()} == {100}
    assert seen == [(256, 1), (256, 2), (256, 7), (256, 64), (44, 64)]
    again, probabilities = measure_released(
        many.model, many.contract, many.reference.heldout, KNOWN_CLASSES, SessionOptions(1)
    )
    assert (again.measured.metrics.images, again.measured.metrics.accuracy) == (300, 1)
    assert np.array_equal(again.distances, passed.distances)
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
    other, heldout, options = tmp_path / "model.fp16.onnx", many.reference.heldout, SessionOptions(1)
    with pytest.raises(GateRefused, match=r"model\.fp16\.onnx gives probabilities that are no numbers"):
        measure_released(other, many.contract, heldout, KNOWN_CLASSES, options)
    nowhere = replace(KNOWN_CLASSES, centre=np.full(3, np.nan, np.float32))
    with pytest.raises(GateRefused, match=r"model\.onnx gives embeddings that are no numbers"):
        measure_released(many.model, many.contract, heldout, nowhere, options)
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
            gate._check_numbers(probabilities, many.contract, reference, 1)


def test_embedding_may_be_off_by_a_hundredth(many: Candidate) -> None:
    reference = many.reference
    for off, is_refused in ((0.009, False), (0.011, True), (float("nan"), True)):
        embeddings = reference.embeddings.copy()
        embeddings[-1, 0] += off
        with (
            pytest.raises(GateRefused, match=r"^weights: .* size 7 an embedding")
            if is_refused
            else nullcontext()
        ):
            gate._check_embeddings(embeddings, reference, 7)
    turned = replace(reference, embeddings=reference.embeddings[::-1])
    with pytest.raises(GateRefused, match=r"^weights: at batch size 1 an embedding .* is off by "):
        replace(many, reference=turned).measure()


def test_accuracy_under_the_contracts_labels_may_be_off_by_a_thousandth(many: Candidate) -> None:
    """Of 4,000 images, by three and by five."""
    answers = np.tile(np.eye(3, dtype=np.float32)[0], (4000, 1))
    samples = (Sample(Path("red.png"), many.contract.labels[0]),) * 4000
    heldout = Images(answers, np.arange(4000), np.zeros(4000, np.int64), samples)
    reference = replace(many.reference, heldout=heldout, probabilities=answers)
    for wrong in (3, 5):
        probabilities = answers.copy()
        probabilities[:wrong] = np.eye(3)[1]
        with pytest.raises(GateRefused) if wrong > 4 else nullcontext():
            gate._check_accuracy(probabilities, many.contract, reference)
