"""Publishes an ONNX file as a bundle of the build whose packages are in the path.

    PYTHONPATH=CHECKOUT python -P benchmarks/published.py MODELS STAGING FILE.onnx PHOTOGRAPHS

An older build refuses what a newer one writes, and a newer one reads what an older one wrote. The file is
what `benchmarks.networks` makes: `pixels` uint8 [batch, S, S, 3] -> `logits`, `probabilities`
[batch, classes]. The golden answers are computed here, of the first photographs.
"""

import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort

GOLDEN_IMAGES: Final = 4


def main() -> None:
    models, staging, file, photographs = (Path(word) for word in sys.argv[1:])
    bundles, versions = (
        _module("fovea.model.bundle", "fovea.bundle"),
        _module("fovea.model.versions", "fovea.versions"),
    )
    staging.mkdir(parents=True)
    network = onnx.load(file)
    contract = _contract(network, models.name)
    onnx.helper.set_model_props(network, {bundles.METADATA_KEY: contract.embedded()})
    onnx.save(network, staging / bundles.MODEL_FILE)
    files = [file.read_bytes() for file in sorted(photographs.iterdir())[:GOLDEN_IMAGES]]
    decode_image = _module("fovea.images.preprocess", "fovea.preprocess").decode_image
    crops = np.stack([decode_image(data, contract.preprocess) for data in files])
    session = ort.InferenceSession(staging / bundles.MODEL_FILE, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"pixels": crops})
    goldens = _module("fovea.model.golden", "fovea.model.bundle", "fovea.bundle")
    golden = goldens.Golden(tuple(files), crops, probabilities)
    goldens.write_golden(staging, golden, (".jpg",) * len(files))
    versions = _module("fovea.model.versions", "fovea.versions")
    versions.publish(bundles.seal(staging, contract), str(models))


def _contract(network: Any, name: str) -> Any:
    bundles, measured = (
        _module("fovea.model.bundle", "fovea.bundle"),
        _module("fovea.model.measured", "fovea.bundle"),
    )
    spec = _module("fovea.images.preprocess", "fovea.preprocess").PreprocessSpec
    side = network.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    classes = network.graph.output[1].type.tensor_type.shape.dim[1].dim_value
    labels = tuple(f"label-{index}" for index in range(classes))
    row = measured.ClassMetrics(images=1, precision=1.0, recall=1.0)
    return bundles.BundleContract(
        name=name,
        version=0,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        files={},
        labels=labels,
        preprocess=spec(size=side, resize=round(side * 256 / 224)),
        inputs=(bundles.TensorSpec(name="pixels", dtype="uint8", shape=("batch", side, side, 3)),),
        outputs=tuple(
            bundles.TensorSpec(name=output, dtype="float32", shape=("batch", classes))
            for output in ("logits", "probabilities")
        ),
        metrics=measured.Metrics(
            images=classes, accuracy=1.0, loss=0.0, ece=0.0, per_class=dict.fromkeys(labels, row)
        ),
        temperature=1.0,
        abstain_threshold=0.0,
        training={"architecture": name},
    )


def _module(*names: str) -> Any:
    """The first of these that the build has: as it is called now, then as it was."""
    return import_module(next(name for name in names if _exists(name)))


def _exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its package
        return False


if __name__ == "__main__":
    main()
