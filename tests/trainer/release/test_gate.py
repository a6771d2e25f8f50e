"""Nothing that differs from the model that was trained passes the release gate."""

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from fovea.errors import DataInvalid, GateRefused
from fovea.images.spec import PreprocessSpec
from fovea.model.bundle import ModelBundle
from fovea.truth.known_classes import KnownClasses
from tests.trainer.layers import last_layer
from tests.trainer.release.test_gate_limits import Candidate
from trainer.evaluate.metrics import softmax
from trainer.evaluate.prediction import predict
from trainer.images.batches import Images
from trainer.images.data import read_images
from trainer.images.sources import Sample, open_source
from trainer.network.checkpoint import Checkpoint
from trainer.network.model import ConcatPool, Network
from trainer.release.export import ServedNetwork, export_onnx
from trainer.release.gate import CHUNK, Reference
from trainer.truth.classes import know_classes
from trainer.truth.novelty import embed


@pytest.fixture(scope="module")
def candidate(trained: Path, few_digits: Path) -> Candidate:
    """The released model again, beside what the checkpoint's torch network says."""
    bundle = ModelBundle.open(trained / "models" / "tiny" / "1")
    checkpoint = Checkpoint.load(trained / "runs" / "a")
    split = open_source(str(few_digits), val_fraction=0.2, seed=0, cache_dir=trained / "cache")
    heldout = read_images(
        split, "few", checkpoint.preprocess, trained / "cache", max_bad_fraction=0, threads=1
    ).heldout
    known_classes = bundle.known_classes()
    assert known_classes
    return Candidate(
        bundle.model_path,
        bundle.contract,
        reference_of(
            checkpoint.network, bundle.contract.temperature, heldout, known_classes, checkpoint.labels
        ),
    )


def reference_of(
    network: Network,
    temperature: float,
    heldout: Images,
    known_classes: KnownClasses,
    labels: tuple[str, ...],
) -> Reference:
    """What a torch network says."""
    probabilities = softmax(predict(network, heldout, 16) / temperature)
    embeddings = embed(network, heldout.pixels(slice(0, CHUNK)))
    return Reference(heldout, probabilities, embeddings, known_classes, labels)


@pytest.fixture(scope="module")
def small_network() -> Network:
    """With all that an export may get wrong, and quickly exported; it answers images differently."""
    torch.manual_seed(0)
    layers = {
        "convolution": nn.Conv2d(3, 16, 3),
        "norm": nn.BatchNorm2d(16),
        "activation": nn.ReLU(),
        "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
    }
    pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())
    head = nn.Sequential(pool, nn.Linear(16, 2))
    with torch.no_grad():
        layers["norm"].running_var.uniform_(0.05, 0.2)  # type: ignore[operator]
    return Network(nn.Sequential(OrderedDict(layers)), head).eval()


@pytest.fixture(scope="module")
def small(
    candidate: Candidate, small_network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Candidate:
    """The same images and contract, with this network, exported as it is."""
    contract = candidate.contract.model_copy(update={"temperature": 0.5})
    heldout, model = candidate.reference.heldout, tmp_path_factory.mktemp("small") / "model.onnx"
    known_classes = know_classes(embed(small_network, heldout.pixels(slice(None))), heldout.targets)
    reference = reference_of(small_network, 0.5, heldout, known_classes, candidate.reference.labels)
    export_onnx(ServedNetwork(deepcopy(small_network), contract.temperature), contract, model)
    return Candidate(model, contract, reference)


def test_the_model_as_it_was_trained_passes(candidate: Candidate) -> None:
    assert candidate.measure() == candidate.contract.metrics.accuracy


def test_network_that_answers_all_images_alike_is_refused(candidate: Candidate, tmp_path: Path) -> None:
    """As torchvision's vision transformers do before they learn: any export of them would agree."""
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(ConcatPool(), nn.Linear(8, 2))).eval()
    nn.init.zeros_(last_layer(network).weight)
    export_onnx(ServedNetwork(network, 1.0), candidate.contract, tmp_path / "model.onnx")
    heldout = candidate.reference.heldout
    alike = replace(
        candidate.reference,
        probabilities=softmax(predict(network, heldout, 16)),
        embeddings=embed(network, heldout.pixels(slice(0, CHUNK))),
    )
    with pytest.raises(GateRefused, match=rf"^weights: .* each of {len(heldout)} held-out images the same"):
        replace(candidate, model=tmp_path / "model.onnx", reference=alike).measure()


def test_two_swapped_labels_are_refused(candidate: Candidate) -> None:
    labels = candidate.contract.labels
    swapped = candidate.contract.model_copy(update={"labels": (labels[1], labels[0], *labels[2:])})
    with pytest.raises(GateRefused, match=r"^labels: "):
        replace(candidate, contract=swapped).measure()


def test_a_missing_label_is_refused(candidate: Candidate) -> None:
    short = candidate.contract.model_copy(update={"labels": candidate.contract.labels[:-1]})
    with pytest.raises(GateRefused, match=r"^labels: the model gives 2 probabilities"):
        replace(candidate, contract=short).measure()


def test_another_resize_is_refused_by_the_first_file_that_differs(candidate: Candidate) -> None:
    spec = PreprocessSpec(size=32, resize=36)
    changed = candidate.contract.model_copy(update={"preprocess": spec})
    with pytest.raises(
        GateRefused, match=r"^preprocess: .*\.png decodes to other pixels .* side 36, crop 32"
    ):
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

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, _, embedding = super().forward(pixels)
        mixed = logits + 0.05 * (logits - logits.mean(0, keepdim=True))
        return mixed, torch.softmax(mixed / self.temperature, dim=1), embedding


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
    small: Candidate,
    small_network: Network,
    tmp_path: Path,
    spoil: Callable[[ServedNetwork], ServedNetwork],
    batch_size: int,
) -> None:
    served = spoil(ServedNetwork(deepcopy(small_network), small.contract.temperature))
    export_onnx(served, small.contract, tmp_path / "model.onnx")
    with pytest.raises(GateRefused, match=rf"^weights: at batch size {batch_size} "):
        replace(small, model=tmp_path / "model.onnx").measure()


def test_the_small_model_as_it_is_passes(small: Candidate) -> None:
    assert 0 < small.measure() <= 1
