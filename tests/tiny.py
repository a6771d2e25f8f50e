"""A tiny real model for tests: it tells whether an image is mostly red, green or blue.

Its multi-label twin tells which of the three are in an image's colour: in `MIXTURES` two, three or none.
"""

import io
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from fovea.images.preprocess import Pixels, decode_image
from fovea.images.spec import PreprocessSpec
from fovea.model import bundle as bundles
from fovea.model import versions
from fovea.model.golden import Golden, write_golden
from fovea.model.io_binding import Answers, Probabilities
from fovea.model.measured import ClassMetrics, LabelMetrics, LabelScore, Metrics
from fovea.model.task import ThresholdRule
from fovea.truth.known_classes import KnownClasses, write_known_classes
from fovea.truth.novelty import OutOfDistribution
from fovea.truth.sets import PredictionSets

LABELS = ("red", "green", "blue")
SPEC = PreprocessSpec(size=16, resize=18)
COLOURS = {"red": (220, 30, 40), "green": (20, 200, 60), "blue": (30, 40, 210)}
MIXTURES = {"yellow": (210, 200, 30), "white": (220, 215, 225), "black": (20, 25, 15)}
"""To the multi-label model: red and green, all three, and none."""
TEMPERATURES = (1.0, 1.25, 0.8)
THRESHOLDS = (0.5, 0.6, 0.3)
NOVELTY = OutOfDistribution(
    threshold=1.5,
    share=0.99,
    quantiles=(0.0, 0.0, 0.1, 0.5, 1.5),
    images_by_part=(4, 2, 3, 3),
    auroc={"noise": 1.0},
    golden=(),
)
"""A picture of one of the three colours is known, a grey one is a stranger."""
KNOWN_CLASSES = KnownClasses(
    centre=np.zeros(3, np.float32),
    directions=np.eye(3, dtype=np.float32),
    inverse_deviations=np.full(4, 10 * 3**0.5, np.float32),
    means=np.array([10 * 3**0.5 * np.array(c) / np.linalg.norm(c) for c in COLOURS.values()], np.float32),
)
"""A distance is ten times that of the embedding, the colour's direction, from the nearest of the three."""
SETS = PredictionSets(coverage=0.9, quantile=0.95, images=12)


@cache
def picture(colour: str | tuple[int, int, int], size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    """An image file of one colour with a little texture, always the same for the same arguments."""
    base = np.array((COLOURS | MIXTURES)[colour] if isinstance(colour, str) else colour)
    noise = np.random.default_rng(size[0]).integers(-20, 20, (size[1], size[0], 3))
    image = Image.fromarray((base + noise).clip(0, 255).astype(np.uint8))
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


def large_picture() -> bytes:
    """A red one of 3000 by 3000 pixels, which takes about a quarter of a second to decode."""
    data = io.BytesIO()
    Image.new("RGB", (3000, 3000), "red").save(data, "PNG")
    return data.getvalue()


def fill_folder(folder: Path, count: int = 12) -> dict[str, str]:
    """Writes `count` images of all three colours; returns file name -> label."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for index in range(count):
        label, kind = LABELS[index % 3], ["PNG", "JPEG", "WEBP", "BMP"][index % 4]
        name = f"{index:03d}.{kind.lower()}"
        (folder / name).write_bytes(picture(label, (30 + index, 25 + 2 * index), kind))
        expected[name] = label
    return expected


def stage_bundle(
    folder: Path,
    *,
    gain: float = 8.0,
    labels: tuple[str, ...] = LABELS,
    variants: dict[str, float] | None = None,
    embeds: bool = False,
    multi: bool = False,
) -> bundles.ModelBundle:
    """A sealed bundle that is not published yet. Another `gain` is another model with other probabilities.

    One that is `multi` is multi-label, with temperatures and thresholds of its own for each.

    `variants` are the gains of the models that stand for other precisions. One that `embeds` gives the
    colour's direction as its embedding, and knows strangers; another is as older bundles are.
    """
    folder.mkdir(parents=True)
    contract = _multi(_contract(labels, embeds)) if multi else _contract(labels, embeds)
    onnx.save(_model(contract, gain), folder / bundles.MODEL_FILE)
    (folder / bundles.REPORT_FILE).write_text("<!doctype html><title>tiny</title>")
    colours = (*LABELS, *MIXTURES) if multi else LABELS * 2
    files = tuple(picture(colour, (20 + i, 24)) for i, colour in enumerate(colours))
    crops = np.stack([decode_image(data, SPEC) for data in files])
    if embeds and not multi:
        write_known_classes(folder, KNOWN_CLASSES)
        golden = _distances(folder / bundles.MODEL_FILE, crops)
        novelty = NOVELTY.model_copy(update={"golden": golden})
        contract = contract.model_copy(update={"out_of_distribution": novelty})
    probabilities = _probabilities(folder / bundles.MODEL_FILE, crops)
    for precision, other in (variants or {}).items():
        file = f"model.{precision}.onnx"
        onnx.save(_model(contract, other), folder / file)
        rows = _probabilities(folder / file, crops).tolist()
        distances = _distances(folder / file, crops) if embeds and not multi else None
        variant = bundles.Variant(
            file=file,
            metrics=contract.metrics,
            golden=rows,
            golden_distances=distances,
            label_metrics=contract.label_metrics,
        )
        contract = contract.model_copy(update={"variants": {**contract.variants, precision: variant}})
    write_golden(folder, Golden(files, crops, probabilities), (".png",) * len(files))
    return bundles.seal(folder, contract)


def _probabilities(model: Path, crops: Pixels) -> Probabilities:
    return _answers(model, crops, "probabilities")


def _distances(model: Path, crops: Pixels) -> tuple[float, ...]:
    return tuple(KNOWN_CLASSES.distances(_answers(model, crops, bundles.EMBEDDING)).tolist())


def _answers(model: Path, crops: Pixels, output: str) -> Answers:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([output], {"pixels": crops})[0])


def publish_bundle(models: Path, staging: Path, **options: Any) -> bundles.ModelBundle:
    """Publishes a tiny model as the next version under `models`."""
    return versions.publish(stage_bundle(staging, **options), str(models))


def _contract(labels: tuple[str, ...], embeds: bool) -> bundles.BundleContract:
    shape = ("batch", SPEC.size, SPEC.size, 3)
    outputs = {"logits": len(labels), "probabilities": len(labels), **({"embedding": 3} if embeds else {})}
    per_class = {label: ClassMetrics(images=4, precision=1.0, recall=1.0) for label in labels}
    return bundles.BundleContract(
        name="tiny",
        version=0,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        files={},
        labels=labels,
        preprocess=SPEC,
        inputs=(bundles.TensorSpec(name="pixels", dtype="uint8", shape=shape),),
        outputs=tuple(
            bundles.TensorSpec(name=name, dtype="float32", shape=("batch", values))
            for name, values in outputs.items()
        ),
        metrics=Metrics(images=12, accuracy=1.0, loss=0.05, ece=0.02, per_class=per_class),
        temperature=1.0,
        abstain_threshold=0.6,
        training={"architecture": "colour-mean"},
        out_of_distribution=NOVELTY if embeds else None,
        prediction_sets=SETS if embeds else None,
    )


def _multi(single: bundles.BundleContract) -> bundles.BundleContract:
    terms = zip(single.labels, THRESHOLDS, strict=True)
    score = LabelScore(
        images=6,
        selected=6,
        right=6,
        average_precision=1.0,
        precision=1.0,
        precision_interval=(0.61, 1.0),
        recall=1.0,
        recall_interval=(0.61, 1.0),
        threshold=0.5,
    )
    scores = {label: score.model_copy(update={"threshold": threshold}) for label, threshold in terms}
    changes = {
        "format": 2,
        "task": "multi",
        "abstain_threshold": 0.0,
        "temperatures": TEMPERATURES,
        "thresholds": THRESHOLDS,
        "threshold_rule": ThresholdRule(by="f1"),
        "label_metrics": LabelMetrics(map=1.0, micro_f1=1.0, macro_f1=1.0, per_label=scores),
        "out_of_distribution": None,
        "prediction_sets": None,
    }
    return bundles.BundleContract.model_validate(dict(single) | changes)


def _model(contract: bundles.BundleContract, gain: float) -> onnx.ModelProto:
    weights = np.eye(3, dtype=np.float32) * gain / 255
    axes = np.array([1, 2], dtype=np.int64)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {"weights": weights, "axes": axes}
    if contract.temperatures is not None:
        constants["dark"] = np.full(3, -0.5 * gain, np.float32)
        constants["temperatures"] = np.array(contract.temperatures, np.float32)
        nodes[2:] = [
            helper.make_node("MatMul", ["mean", "weights"], ["brightness"]),
            helper.make_node("Add", ["brightness", "dark"], ["logits"]),
            helper.make_node("Div", ["logits", "temperatures"], ["scaled"]),
            helper.make_node("Sigmoid", ["scaled"], ["probabilities"]),
        ]
    if contract.gives_embeddings:
        nodes.append(helper.make_node("LpNormalization", ["mean"], ["embedding"], axis=1, p=2))
    outputs = [
        helper.make_tensor_value_info(t.name, TensorProto.FLOAT, list(t.shape)) for t in contract.outputs
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, list(contract.inputs[0].shape))],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {bundles.METADATA_KEY: contract.embedded()})
    return model
