"""Nothing that differs from the model that was trained passes the release gate."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from fovea.errors import DataInvalid, GateRefused
from fovea.images.preprocess import Pixels, PreprocessSpec, decode_image
from fovea.model.bundle import BundleContract, ModelBundle
from fovea.model.classifier import Classifier
from tests.tiny import picture, stage_bundle
from trainer.evaluate.metrics import Logits, softmax
from trainer.evaluate.prediction import predict
from trainer.images.batches import Images
from trainer.images.data import read_images
from trainer.images.sources import Sample, open_source
from trainer.network.checkpoint import Checkpoint
from trainer.release import gate
from trainer.release.export import ServedNetwork, export_onnx
from trainer.release.gate import Reference, measure_variant, pass_gate


@dataclass(frozen=True)
class Candidate:
    """What the gate is given."""

    model: Path
    contract: BundleContract
    reference: Reference

    def measure(self) -> float:
        return pass_gate(self.model, self.contract, self.reference, threads=1).accuracy


@pytest.fixture(scope="module")
def candidate(trained: Path, few_digits: Path) -> Candidate:
    """The released model again, beside what the checkpoint's torch network says."""
    bundle = ModelBundle.open(trained / "models" / "tiny" / "1")
    checkpoint = Checkpoint.load(trained / "runs" / "a")
    split = open_source(str(few_digits), val_fraction=0.2, seed=0, cache_dir=trained / "cache")
    heldout = read_images(
        split, "few", checkpoint.preprocess, trained / "cache", max_bad_fraction=0, threads=1
    ).heldout
    probabilities = softmax(predict(checkpoint.network, heldout, 16) / bundle.contract.temperature)
    reference = Reference(heldout, probabilities, checkpoint.labels)
    return Candidate(bundle.model_path, bundle.contract, reference)


def test_the_model_as_it_was_trained_passes(candidate: Candidate) -> None:
    assert candidate.measure() == candidate.contract.metrics.accuracy


def test_two_swapped_labels_are_refused(candidate: Candidate) -> None:
    labels = candidate.contract.labels
    swapped = candidate.contract.model_copy(update={"labels": (labels[1], labels[0], *labels[2:])})
    with pytest.raises(GateRefused, match=r"^labels: "):
        replace(candidate, contract=swapped).measure()


def test_a_missing_label_is_refused(candidate: Candidate) -> None:
    short = candidate.contract.model_copy(update={"labels": candidate.contract.labels[:-1]})
    with pytest.raises(GateRefused, match=r"^labels: the model gives 2 probabilities"):
        replace(candidate, contract=short).measure()


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


def test_another_resize_is_refused_by_the_first_file_that_differs(candidate: Candidate) -> None:
    spec = PreprocessSpec(size=32, resize=36)
    changed = candidate.contract.model_copy(update={"preprocess": spec})
    with pytest.raises(GateRefused, match=r"^preprocess: .*\.png decodes to other pixels .* resize 36"):
        replace(candidate, contract=changed).measure()


def test_a_heldout_file_that_vanished_is_named(candidate: Candidate, tmp_path: Path) -> None:
    heldout = candidate.reference.heldout
    gone = Sample(tmp_path / "gone.png", heldout.samples[0].label)
    samples = (gone, *heldout.samples[1:])
    reference = replace(candidate.reference, heldout=replace(heldout, samples=samples))
    with pytest.raises(DataInvalid, match=r"gone\.png: cannot be read: No such file"):
        replace(candidate, reference=reference).measure()


def test_one_corrupted_weight_is_refused(candidate: Candidate, tmp_path: Path) -> None:
    model = onnx.load(candidate.model)
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = numpy_helper.to_array(tensor).copy()
    values[3, 1, 3, 3] += 50
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(GateRefused, match=r"^weights: at batch size 1 "):
        replace(candidate, model=tmp_path / "model.onnx").measure()


def test_probabilities_that_keep_the_top_1_but_drift_are_refused(candidate: Candidate) -> None:
    reference = candidate.reference
    drifted = (0.95 * reference.probabilities + 0.05 / 2).astype(np.float32)
    with pytest.raises(GateRefused, match=r"^weights: .* a probability of the ONNX model is off by"):
        replace(candidate, reference=replace(reference, probabilities=drifted)).measure()


def _wrong_epsilon(served: ServedNetwork) -> ServedNetwork:
    for module in served.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-2
    return served


def _swapped_channels(served: ServedNetwork) -> ServedNetwork:
    served.network.mean, served.network.std = served.network.mean.flip(0), served.network.std.flip(0)
    return served


def _forgotten_temperature(served: ServedNetwork) -> ServedNetwork:
    return ServedNetwork(served.network, 1.0)


def _rounded_pooling(served: ServedNetwork) -> ServedNetwork:
    """The edge is pooled otherwise, as an exporter had it that mistook ceil_mode."""
    served.network.backbone.maxpool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
    return served


class _MindsItsNeighbours(ServedNetwork):
    """Right for one image; of several, each answer depends on the others, as when batch norm still trains."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        logits, _ = super().forward(pixels)
        mixed = logits + 0.05 * (logits - logits.mean(0, keepdim=True))
        return mixed, torch.softmax(mixed / self.temperature, dim=1)


def _mixed_batch(served: ServedNetwork) -> ServedNetwork:
    return _MindsItsNeighbours(served.network, served.temperature)


@pytest.mark.parametrize(
    ("spoil", "batch_size"),
    [
        (_wrong_epsilon, 1),
        (_swapped_channels, 1),
        (_forgotten_temperature, 1),
        (_rounded_pooling, 1),
        (_mixed_batch, 2),
    ],
)
def test_export_that_is_subtly_wrong_is_refused(
    candidate: Candidate,
    trained: Path,
    tmp_path: Path,
    spoil: Callable[[ServedNetwork], ServedNetwork],
    batch_size: int,
) -> None:
    network = Checkpoint.load(trained / "runs" / "a").network
    served = spoil(ServedNetwork(network, candidate.contract.temperature))
    export_onnx(served, candidate.contract, tmp_path / "model.onnx")
    with pytest.raises(GateRefused, match=rf"^weights: at batch size {batch_size} "):
        replace(candidate, model=tmp_path / "model.onnx").measure()


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
    assert many.measure() == 1
    assert seen == [(256, 1), (256, 2), (256, 7), (256, 64), (44, 64)]
    metrics, probabilities = measure_variant(many.model, many.contract, many.reference.heldout, threads=1)
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


def test_a_variant_without_numbers_is_refused(many: Candidate, tmp_path: Path) -> None:
    model = onnx.load(many.model)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    weights.CopyFrom(numpy_helper.from_array(np.full((3, 3), np.nan, np.float32), "weights"))
    onnx.save(model, tmp_path / "model.fp16.onnx")
    with pytest.raises(GateRefused, match=r"model\.fp16\.onnx gives probabilities that are no numbers"):
        measure_variant(tmp_path / "model.fp16.onnx", many.contract, many.reference.heldout, threads=1)
    with pytest.raises(GateRefused, match=r"^weights: at batch size 1 "):
        replace(many, model=tmp_path / "model.fp16.onnx").measure()


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
        found = expected.copy()
        found[7, 2] = off
        found[:turned, 0] = 0.5001
        with pytest.raises(GateRefused) if is_refused else nullcontext():
            gate._check_numbers(found, reference, 1)


def test_accuracy_under_the_contracts_labels_may_be_off_by_a_thousandth(many: Candidate) -> None:
    """Of 4,000 images, by three and by five."""
    answers = np.tile(np.eye(3, dtype=np.float32)[0], (4000, 1))
    samples = (Sample(Path("red.png"), many.contract.labels[0]),) * 4000
    heldout = Images(answers, np.arange(4000), np.zeros(4000, np.int64), samples)
    reference = Reference(heldout, answers, many.contract.labels)
    for wrong in (3, 5):
        found = answers.copy()
        found[:wrong] = np.eye(3)[1]
        with pytest.raises(GateRefused) if wrong > 4 else nullcontext():
            gate._check_accuracy(found, many.contract, reference)
