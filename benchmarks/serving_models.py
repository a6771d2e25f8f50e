"""What the serving benchmark serves and sends: a tiny network, a released resnet34, photographs."""

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec
from fovea.model import bundle as bundles
from fovea.model import versions
from fovea.model.golden import Golden, write_golden
from fovea.model.measured import ClassMetrics, Metrics

SPEC: Final = PreprocessSpec(size=224, resize=256)
LABELS: Final = tuple(f"label-{index}" for index in range(10))
QUALITY: Final = 90
"""Of the JPEG files; gives 57 KB at 500 x 375."""


def photographs(count: int, width: int, height: int) -> list[bytes]:
    """JPEG files: cuttings of the two photographs that scikit-learn ships, enlarged where they are small."""
    from sklearn.datasets import load_sample_images  # takes a second to import

    generator = np.random.default_rng(0)
    pictures = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    scale = max(1.0, 1.05 * width / pictures[0].width, 1.05 * height / pictures[0].height)
    enlarged = [p.resize((round(p.width * scale), round(p.height * scale)), 3) for p in pictures]
    return [_cutting(enlarged[index % 2], width, height, generator) for index in range(count)]


def _cutting(picture: Image.Image, width: int, height: int, generator: np.random.Generator) -> bytes:
    left = int(generator.integers(0, picture.width - width))
    top = int(generator.integers(0, picture.height - height))
    data = io.BytesIO()
    picture.crop((left, top, left + width, top + height)).save(data, "JPEG", quality=QUALITY)
    return data.getvalue()


def publish_tiny(models: Path, staging: Path) -> None:
    """Two convolutions: so little work that the server's own dominates."""
    contract = contract_of("two convolutions")

    def save(file: Path) -> None:
        network = tiny_network()
        helper.set_model_props(network, {bundles.METADATA_KEY: contract.embedded()})
        onnx.save(network, file)

    _publish(models, staging, contract, save)


def publish_untrained_resnet34(models: Path, staging: Path) -> None:
    """As fast as a trained one."""
    _publish(models, staging, contract_of("resnet34"), export_untrained_resnet34)


def export_untrained_resnet34(file: Path) -> None:
    from trainer.network.model import build_network
    from trainer.release.export import ServedNetwork, export_onnx

    network = build_network("resnet34", len(LABELS), SPEC.size).eval()
    export_onnx(ServedNetwork(network, 1.0), contract_of("resnet34"), file)


def publish_resnet34(models: Path, work: Path, other: str = "int8") -> None:
    """By the trainer, through its gate, with another precision; two classes of images, hardly trained."""
    for index, data in enumerate(photographs(80, 300, 225)):
        file = work / "photos" / ("temple", "flower")[index % 2] / f"{index:03d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    command = [
        *(sys.executable, "-m", "trainer", "train", "--weights", "none", "--precisions", other),
        *(
            "--data",
            work / "photos",
            "--models",
            models,
            "--runs",
            work / "runs",
            "--cache-dir",
            work / "cache",
        ),
        *("--epochs", "4", "--lr", "1e-3", "--batch-size", "16", "--device", "cpu"),
        *("--max-accuracy-drop", "0.1", "--publish-anyway"),
    ]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def _publish(
    models: Path, staging: Path, contract: bundles.BundleContract, save: Callable[[Path], object]
) -> None:
    staging.mkdir(parents=True)
    save(staging / bundles.MODEL_FILE)
    files = photographs(4, 500, 375)
    crops = np.stack([decode_image(data, SPEC) for data in files])
    session = ort.InferenceSession(staging / bundles.MODEL_FILE, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"pixels": crops})
    golden = Golden(tuple(files), crops, probabilities)
    write_golden(staging, golden, (".jpg",) * len(files))
    versions.publish(bundles.seal(staging, contract), str(models))


def contract_of(
    architecture: str, spec: PreprocessSpec = SPEC, labels: tuple[str, ...] = LABELS
) -> bundles.BundleContract:
    """Of a model that nobody has measured."""
    shape = ("batch", spec.size, spec.size, 3)
    per_class = {label: ClassMetrics(images=1, precision=1.0, recall=1.0) for label in labels}
    outputs = ("logits", "probabilities")
    return bundles.BundleContract(
        name=architecture,
        version=0,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        files={},
        labels=labels,
        preprocess=spec,
        inputs=(bundles.TensorSpec(name="pixels", dtype="uint8", shape=shape),),
        outputs=tuple(
            bundles.TensorSpec(name=n, dtype="float32", shape=("batch", len(labels))) for n in outputs
        ),
        metrics=Metrics(images=10, accuracy=1.0, loss=0.0, ece=0.0, per_class=per_class),
        temperature=1.0,
        abstain_threshold=0.0,
        training={"architecture": architecture},
    )


def tiny_network() -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    weights = {
        "w1": generator.normal(0, 0.02, (16, 3, 8, 8)).astype(np.float32),
        "w2": generator.normal(0, 0.1, (32, 16, 3, 3)).astype(np.float32),
        "w3": generator.normal(0, 0.3, (32, len(LABELS))).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "w1"], ["c1"], strides=[8, 8]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w3"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return one_graph("tiny", nodes, weights)


def one_graph(
    name: str, nodes: Sequence[onnx.NodeProto], weights: dict[str, npt.NDArray[np.float32]]
) -> onnx.ModelProto:
    """`pixels` uint8 [batch, S, S, 3] -> `logits`, `probabilities` float32 [batch, classes]."""
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", SPEC.size, SPEC.size, 3])
    outputs = [
        helper.make_tensor_value_info(each, TensorProto.FLOAT, ["batch", len(LABELS)])
        for each in ("logits", "probabilities")
    ]
    initializers = [numpy_helper.from_array(array, key) for key, array in weights.items()]
    graph = helper.make_graph(nodes, name, [pixels], outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
