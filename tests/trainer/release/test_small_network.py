"""A network of one convolution, from torch to a file at each precision."""

import logging
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from fovea.errors import GateRefused
from fovea.images.preprocess import Pixels
from fovea.model.bundle import BundleContract, TensorSpec
from fovea.model.sessions import SessionOptions, open_session
from fovea.truth.known_classes import Embeddings, KnownClasses
from tests.tiny import stage_bundle
from tests.trainer.conftest import train_settings
from trainer.evaluate.metrics import Logits
from trainer.images.batches import Images
from trainer.images.data import DataSet
from trainer.images.sources import Sample
from trainer.network.model import Network
from trainer.release.export import ServedNetwork, _strip, describe_tensors, export_onnx
from trainer.release.gate import measure_released
from trainer.release.half import write_fp16
from trainer.release.variants import add_variants, write_int8

SIDE = 16
TEMPERATURE = 2.5
EXPECTED = np.full((70, 3), 1 / 3, np.float32)
VALUES = 64
"""Of an embedding."""
KNOWN_CLASSES = KnownClasses(
    centre=np.full(VALUES, VALUES**-0.5, np.float32),
    directions=np.eye(VALUES, dtype=np.float32),
    inverse_deviations=np.ones(VALUES + 1, np.float32),
    means=np.zeros((3, VALUES), np.float32),
)
EXPORTERS = ("torch.onnx", "onnxscript", "onnx_ir")


@dataclass(frozen=True)
class Small:
    """The network, and the file that it was exported to."""

    served: ServedNetwork
    contract: BundleContract
    model: Path

    def torch_says(self, pixels: Pixels) -> tuple[Logits, Logits]:
        with torch.inference_mode():
            logits, probabilities, _ = self.served(torch.from_numpy(pixels))
        return logits.numpy(), probabilities.numpy()

    def embeddings(self, pixels: Pixels) -> Embeddings:
        with torch.inference_mode():
            return np.asarray(self.served(torch.from_numpy(pixels))[2].numpy())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, VALUES, 3), nn.BatchNorm2d(VALUES), nn.ReLU())
    backbone[1].running_mean.normal_()  # type: ignore[operator]
    head = nn.Sequential(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(VALUES, 3))
    served = ServedNetwork(Network(backbone, head).eval(), TEMPERATURE)
    folder = tmp_path_factory.mktemp("small")
    contract = stage_bundle(folder / "staged").contract
    export_onnx(served, contract, folder / "model.onnx")
    return Small(served, contract, folder / "model.onnx")


def crops(count: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def run(model: Path, pixels: Pixels) -> tuple[Logits, Logits]:
    session = open_session(model, "cpu", SessionOptions(1, exact_sums=True))
    logits, probabilities = session.run(["logits", "probabilities"], {"pixels": pixels})
    assert logits.dtype == probabilities.dtype == np.float32
    return logits, probabilities


def test_the_file_says_what_torch_says_at_any_batch_size(small: Small) -> None:
    for count in (1, 2, 5):
        for answer, expected in zip(
            run(small.model, crops(count)), small.torch_says(crops(count)), strict=True
        ):
            assert answer == pytest.approx(expected, abs=1e-5)


def test_probabilities_are_the_softmax_of_logits_over_the_temperature(small: Small) -> None:
    for pixels in (crops(1), crops(3)):
        logits, probabilities = small.torch_says(pixels)
        powers = np.exp(logits.astype(np.float64) / TEMPERATURE)
        assert probabilities == pytest.approx(powers / powers.sum(1, keepdims=True), abs=1e-6)


def test_a_file_of_equal_weights_is_equal_and_holds_the_contract_and_no_note_of_its_making(
    small: Small, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    small.served.train()
    for name, level in ((None, logging.INFO), *((name, logging.NOTSET) for name in EXPORTERS)):
        caplog.set_level(level, name)
    export_onnx(small.served, small.contract, tmp_path / "again.onnx")
    assert not small.served.training  # else a batch norm would be of the batch
    assert (tmp_path / "again.onnx").read_bytes() == small.model.read_bytes()
    chatter = [r for r in caplog.records if r.name.startswith(EXPORTERS) and r.levelno < logging.ERROR]
    assert (capfd.readouterr().out, chatter) == ("", [])
    model = onnx.load(small.model)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"fovea": small.contract.embedded()}
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 20}
    assert_no_notes(model)


def assert_no_notes(model: onnx.ModelProto) -> None:
    graph = model.graph
    assert (model.producer_name, model.producer_version, model.doc_string) == ("fovea", "", "")
    assert (graph.name, graph.doc_string, len(graph.metadata_props)) == ("classifier", "", 0)
    for part in parts_of(model):
        assert (part.doc_string, len(part.metadata_props)) == ("", 0), part.name


def parts_of(model: onnx.ModelProto) -> list[Any]:
    graph = model.graph
    return [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]


def test_embeddings_have_length_one_and_are_torchs_at_any_precision_and_batch_size(
    small: Small, tmp_path: Path
) -> None:
    write_fp16(small.model, tmp_path / "fp16.onnx")
    write_int8(small.model, tmp_path / "int8.onnx", crops(40))
    for file, off in ((small.model, 1e-5), (tmp_path / "fp16.onnx", 5e-3), (tmp_path / "int8.onnx", 5e-2)):
        session = open_session(file, "cpu", SessionOptions(1))
        for count in (1, 2, 7):
            (embeddings,) = session.run(["embedding"], {"pixels": crops(count)})
            assert embeddings.dtype == np.float32
            assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-5)
            assert np.linalg.norm(embeddings - small.embeddings(crops(count)), axis=1).max() < off


def test_whatever_an_exporter_notes_is_taken_out(small: Small) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(small.model))
    assert model.graph.value_info
    model.producer_version, model.doc_string, model.graph.doc_string = "1", "/home/me", "/home/me"
    for part in (model, model.graph, *parts_of(model)):
        part.metadata_props.add(key="source", value="/home/me/train.py")
    for part in parts_of(model):
        part.doc_string = "/home/me"
    _strip(model)
    assert_no_notes(model)
    assert len(model.metadata_props) == 0
    assert b"/home/me" not in model.SerializeToString()


def test_a_graph_that_was_not_meant_is_not_written(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = onnx.load(small.model)
    other.opset_import[0].version = 19
    for program, said in (
        (None, "torch gave no ONNX program"),
        (SimpleNamespace(model_proto=other), "the opsets"),
    ):
        monkeypatch.setattr(torch.onnx, "export", lambda *_, program=program, **__: program)
        with pytest.raises(GateRefused, match=rf"^export: .*{said}"):
            export_onnx(small.served, small.contract, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_inputs_and_outputs_are_described_by_their_names_types_and_shapes() -> None:
    inputs, outputs = describe_tensors(224, 37, 512)
    assert inputs == (TensorSpec(name="pixels", dtype="uint8", shape=("batch", 224, 224, 3)),)
    assert outputs == tuple(
        TensorSpec(name=name, dtype="float32", shape=("batch", values))
        for name, values in (("logits", 37), ("probabilities", 37), ("embedding", 512))
    )


def test_half_precision_keeps_its_types_outside_and_is_half_as_large(small: Small, tmp_path: Path) -> None:
    write_fp16(small.model, tmp_path / "fp16.onnx")
    model = onnx.load(tmp_path / "fp16.onnx")
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) >= 2]
    assert {tensor.data_type for tensor in weights} == {TensorProto.FLOAT16}
    types = [value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)]
    assert types == [TensorProto.UINT8, TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.FLOAT]
    assert_is_of(small, model)
    for answer, expected in zip(
        run(tmp_path / "fp16.onnx", crops(5)), small.torch_says(crops(5)), strict=True
    ):
        assert answer == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("full_range", "largest"), [(False, 64), (True, 127)])
def test_int8_has_seven_bits_or_eight_and_a_scale_for_each_channel(
    small: Small, tmp_path: Path, caplog: pytest.LogCaptureFixture, full_range: bool, largest: int
) -> None:
    filters = list(logging.getLogger().filters)
    write_int8(small.model, tmp_path / "int8.onnx", crops(40), full_range=full_range)
    assert logging.getLogger().filters == filters
    assert "pre-processing before quantization" not in caplog.text
    model = onnx.load(tmp_path / "int8.onnx")
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    (kernels,) = [values for values in tensors.values() if values.dtype == np.int8 and values.ndim == 4]
    assert np.abs(kernels.astype(int)).max() == largest
    assert sum(values.shape == (64,) and values.dtype == np.float32 for values in tensors.values()) >= 1
    assert_is_of(small, model)
    _, probabilities = run(tmp_path / "int8.onnx", crops(5))
    assert probabilities == pytest.approx(small.torch_says(crops(5))[1], abs=0.05)


def assert_is_of(small: Small, variant: onnx.ModelProto) -> None:
    assert [(entry.key, entry.value) for entry in variant.metadata_props] == [
        ("fovea", small.contract.embedded())
    ]
    assert (variant.producer_name, variant.producer_version, variant.doc_string) == ("fovea", "", "")
    assert variant.graph.name == "classifier"


def images(count: int, side: int, labels: tuple[str, ...], seed: int) -> Images:
    cache = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
    targets = np.arange(count) % len(labels)
    samples = tuple(Sample(Path(f"{n}.png"), labels[target]) for n, target in enumerate(targets))
    return Images(cache, np.arange(count), targets, samples)


@pytest.fixture
def data(small: Small) -> DataSet:
    """Noise, of which the network thinks what it will."""
    fields: dict[str, Any] = dict.fromkeys(DataSet.__dataclass_fields__)
    labels = small.contract.labels
    fields.update(labels=labels, train=images(30, SIDE + 4, labels, 1), heldout=images(70, SIDE, labels, 2))
    return DataSet(**fields)


def test_variants_are_measured_on_the_held_out_images_and_carry_their_golden_answers(
    small: Small, data: DataSet, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(small.model.read_bytes())
    _, probabilities = small.torch_says(data.heldout.pixels(slice(0, 70)))
    accuracy = float((probabilities.argmax(1) == data.heldout.targets).mean())
    metrics = small.contract.metrics.model_copy(update={"accuracy": accuracy})
    contract, golden = small.contract.model_copy(update={"metrics": metrics}), np.array([69, 3])
    for asked in (
        ("fp32",),
        ("fp32", "int8"),
        ("fp32", "fp16"),
        ("fp32", "int8-full"),
        ("fp32", "fp16", "int8", "int8-full"),
    ):
        settings = train_settings(tmp_path, tmp_path, precisions=asked, max_accuracy_drop=0.5)
        released = add_variants(tmp_path, contract, data, KNOWN_CLASSES, probabilities, golden, settings, 1)
        assert list(released.variants) == [each for each in asked if each != "fp32"]
        assert released.left_out == {}
        for precision, variant in released.variants.items():
            assert variant.file == f"model.{precision}.onnx"
            assert variant.metrics.images == 70
            _, answers = run(tmp_path / variant.file, data.heldout.pixels(golden))
            assert np.array(variant.golden) == pytest.approx(answers, abs=1e-3)
            distances = KNOWN_CLASSES.distances(small.embeddings(data.heldout.pixels(golden)))
            assert np.array(variant.golden_distances) == pytest.approx(distances, rel=0.1)
            (tmp_path / variant.file).unlink()


def test_a_variant_that_loses_too_much_or_fails_is_taken_away_and_says_why(
    small: Small,
    data: DataSet,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "model.onnx").write_bytes(small.model.read_bytes())
    contract = small.contract  # whose accuracy is said to be 1
    settings = train_settings(tmp_path, tmp_path, precisions=("fp32", "fp16"), max_accuracy_drop=0.01)
    released = add_variants(tmp_path, contract, data, KNOWN_CLASSES, EXPECTED, np.array([0]), settings, 1)
    assert released.variants == {}
    assert released.left_out["fp16"].startswith("its held-out accuracy is ")
    assert not (tmp_path / "model.fp16.onnx").exists()
    assert f"fp16 is left out of the release: {released.left_out['fp16']}" in caplog.text

    def failing(error: Exception) -> Any:
        def write(model: Path, target: Path) -> None:
            raise error

        return write

    for error, why in (
        (RuntimeError(), "RuntimeError"),
        (ValueError("no\nway"), "no"),
        (GateRefused("x"), "x"),
    ):
        monkeypatch.setattr("trainer.release.variants.write_fp16", failing(error))
        assert add_variants(
            tmp_path, contract, data, KNOWN_CLASSES, EXPECTED, np.array([0]), settings, 1
        ).left_out == {"fp16": why}


def test_eight_bits_are_tried_where_seven_lose_too_much(
    small: Small, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(small.model.read_bytes())
    settings = train_settings(tmp_path, tmp_path, precisions=("fp32", "int8"), max_accuracy_drop=1.0)
    drops = iter([GateRefused("too far")])

    def check(*_: float) -> None:
        for refusal in drops:
            raise refusal

    monkeypatch.setattr("trainer.release.variants._check_drop", check)
    one = add_variants(tmp_path, small.contract, data, KNOWN_CLASSES, EXPECTED, np.array([0]), settings, 1)
    assert list(one.variants) == ["int8-full"]
    assert one.left_out == {"int8": "too far"}


def test_eight_bits_are_released_beside_seven_where_they_are_nearer_to_fp32(
    small: Small, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(small.model.read_bytes())
    pixels = data.heldout.pixels(slice(0, 70))
    settings = train_settings(
        tmp_path, tmp_path, precisions=("fp32", "int8", "int8-full"), max_accuracy_drop=1.0
    )
    _, expected = small.torch_says(pixels)
    exact: list[bool] = []

    def measure(*given: Any) -> Any:
        exact.append(given[-1].exact_sums)
        return measure_released(*given)

    monkeypatch.setattr("trainer.release.variants.measure_released", measure)
    both = add_variants(tmp_path, small.contract, data, KNOWN_CLASSES, expected, np.array([0]), settings, 1)
    assert list(both.variants) == ["int8", "int8-full"]
    assert exact == [False, True]  # by the kernels that are right on every processor, whatever this one is
    distances = {
        name: np.abs(run(tmp_path / variant.file, pixels)[1] - expected).max(1).mean()
        for name, variant in both.variants.items()
    }
    assert distances["int8-full"] < 0.9 * distances["int8"]

    of_seven_bits = run(tmp_path / "model.int8.onnx", pixels)[1]  # which are then the right answers
    one = add_variants(
        tmp_path, small.contract, data, KNOWN_CLASSES, of_seven_bits, np.array([0]), settings, 1
    )
    assert list(one.variants) == ["int8"]
    assert one.left_out["int8-full"].startswith("it is no better than int8: its probabilities are ")
    assert not (tmp_path / "model.int8-full.onnx").exists()
