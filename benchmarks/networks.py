"""Networks to measure servers with: two made here, resnet34, and any ONNX file that takes uint8 NHWC.

Each is brought into one form, `pixels` uint8 [batch, S, S, 3] -> `logits`, `probabilities` float32
[batch, classes], and published by `benchmarks.published`.
"""

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, compose, helper, numpy_helper

from benchmarks.builds import THIS, Build
from benchmarks.serving_models import LABELS, export_untrained_resnet34, one_graph, tiny_network
from fovea.errors import DataInvalid

OUTPUTS: Final = ("logits", "probabilities")
WANTED: Final = "wanted is uint8 [batch, S, S, 3] -> float32 [batch, classes], with a batch that varies"


class Bundles:
    """Published networks below a folder, each made when it is first asked for, as `build` writes bundles."""

    def __init__(self, work: Path, photographs: Path, build: Build = THIS) -> None:
        self._folder = work.resolve() / "bundles" / build.name
        self._photographs = photographs.resolve()
        self._build = build

    def of(self, name: str) -> Path:
        """The models folder of one of NETWORKS."""
        return self._published(name, lambda file: NETWORKS[name](file))

    def of_file(self, file: Path) -> Path:
        """Raises DataInvalid where it is no such network."""
        network = in_one_form(file)
        digest = hashlib.sha256(network.SerializeToString(deterministic=True)).hexdigest()[:8]
        name = re.sub(r"[^a-z0-9]+", "-", f"{file.stem.lower()}-{digest}").strip("-")
        return self._published(name, lambda target: onnx.save(network, target))

    def publish_another(self, models: Path) -> None:
        """The next version into a copy of a models folder of ours: as large, with other weights."""
        name = models.name
        other = self._folder / f"{name}-other.onnx"
        _save_other(self._file(name), other, 1.001)
        self._publish(models, other)

    def several(self, name: str, count: int) -> list[Path]:
        """As `of`, and others of the same network with other weights."""
        first = self.of(name)
        others = {f"{name}-{number}": 1 + number / 1000 for number in range(2, count + 1)}
        return [
            first,
            *(self._published(n, partial(_save_other, self._file(name), scale=s)) for n, s in others.items()),
        ]

    def _published(self, name: str, save: Callable[[Path], object]) -> Path:
        models = self._folder / name
        if not list(models.glob("*/bundle.json")):
            self._folder.mkdir(parents=True, exist_ok=True)
            save(self._file(name))
            self._publish(models, self._file(name))
        return models

    def _publish(self, models: Path, file: Path) -> None:
        staging = self._folder / "staging"
        shutil.rmtree(staging, ignore_errors=True)
        self._build.run_script("published.py", str(models), str(staging), str(file), str(self._photographs))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.onnx"


def _save_other(file: Path, target: Path, scale: float) -> None:
    """The network of a file, with its largest weights scaled."""
    network = onnx.load(file)
    weights = max(network.graph.initializer, key=lambda each: len(each.raw_data))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * scale, weights.name))
    onnx.save(network, target)


def in_one_form(file: Path) -> onnx.ModelProto:
    """Raises DataInvalid, saying what is wanted, for what is no image network on uint8 NHWC."""
    try:
        network = onnx.load(file)
        session = ort.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    except OSError as error:
        raise DataInvalid(f"{file}: cannot be read: {error.strerror}") from error
    except Exception as error:  # onnx and onnxruntime raise what their parsers do
        raise DataInvalid(f"{file}: no ONNX model that runs: {error}") from error
    return _renamed(network, _form(file, session))


@dataclass(frozen=True)
class _Form:
    pixels: str
    side: int
    logits: str
    probabilities: str | None
    classes: int


def _form(file: Path, session: Any) -> _Form:
    inputs = session.get_inputs()
    match inputs[0].shape if len(inputs) == 1 and inputs[0].type == "tensor(uint8)" else []:
        case [batch, int(side), int(width), 3] if not isinstance(batch, int) and side == width:
            return _Form(inputs[0].name, side, *_outputs(file, session, side))
    signature = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
    raise DataInvalid(f"{file}: takes {signature}; {WANTED}")


def _outputs(file: Path, session: Any, side: int) -> tuple[str, str | None, int]:
    """Which output has the logits, which the probabilities where it has both, and how many classes."""
    try:
        answers = session.run(None, {session.get_inputs()[0].name: np.zeros((2, side, side, 3), np.uint8)})
    except Exception as error:
        raise DataInvalid(f"{file}: does not run on two images: {error}") from error
    named = zip((output.name for output in session.get_outputs()), answers, strict=True)
    shapes = {name: answer.shape for name, answer in named if getattr(answer, "dtype", None) == np.float32}
    classes = {name: shape[1] for name, shape in shapes.items() if len(shape) == 2 and shape[0] == 2}
    if set(OUTPUTS) <= set(classes):
        return "logits", "probabilities", classes["logits"]
    for name, count in classes.items():
        if count > 1:
            return name, None, count
    raise DataInvalid(f"{file}: gives {shapes or 'no float32'} for two images; {WANTED}")


def _renamed(network: onnx.ModelProto, form: _Form) -> onnx.ModelProto:
    """Its own names get a prefix; where it has no probabilities, they are the softmax of what it gives."""
    network = compose.add_prefix(network, "network/")
    graph = network.graph
    graph.node.insert(0, helper.make_node("Identity", ["pixels"], [f"network/{form.pixels}"]))
    graph.node.append(helper.make_node("Identity", [f"network/{form.logits}"], ["logits"]))
    graph.node.append(
        helper.make_node("Identity", [f"network/{form.probabilities}"], ["probabilities"])
        if form.probabilities
        else helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1)
    )
    del graph.input[:], graph.output[:], network.metadata_props[:]
    shape: list[str | int | None] = ["batch", form.side, form.side, 3]
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape))
    for name in OUTPUTS:
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", form.classes])
        graph.output.append(output)
    return network


def pool_network() -> onnx.ModelProto:
    """Means of 7 x 7 fields and a linear layer: next to no work, and cheaper by the image in batches."""
    weights = np.random.default_rng(0).normal(0, 0.01, (3 * 7 * 7, len(LABELS))).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], ["means"], kernel_shape=[32, 32], strides=[32, 32]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return one_graph("pool", nodes, {"weights": weights})


NETWORKS: Final[dict[str, Callable[[Path], object]]] = {
    "pool": lambda file: onnx.save(pool_network(), file),
    "tiny": lambda file: onnx.save(tiny_network(), file),
    "resnet34": export_untrained_resnet34,
}
"""By name: what writes it to a file."""
