"""The limits that a server is measured against: loops without a server, each in processes of its own.

    python -m benchmarks.bare_loops fovea MODELS IMAGES SECONDS --threads 1 --batch 1 --precision fp32
    python -m benchmarks.bare_loops pillow MODELS IMAGES SECONDS

`fovea` is `fovea.images` and `Classifier`; `pillow` shares no code with the project: Pillow decodes,
resizes and crops, onnxruntime runs. Prints images, seconds, CPU seconds and the median latency as JSON.
"""

import argparse
import io
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.processes import outputs_of

Loop = Callable[[Sequence[bytes]], object]


@dataclass(frozen=True)
class Limit:
    """What a loop reaches."""

    images_s: float
    images_cpu_s: float
    p50_ms: float
    """Of a batch."""


def run(kind: str, models: Path, images: Path, seconds: float, *flags: str, processes: int = 1) -> Limit:
    """Runs a loop in so many processes side by side."""
    words = [sys.executable, "-m", "benchmarks.bare_loops", kind, str(models), str(images), str(seconds)]
    results = [json.loads(output) for output in outputs_of([[*words, *flags]] * processes)]
    images_s = sum(result["images"] / result["seconds"] for result in results)
    images_cpu_s = sum(r["images"] for r in results) / sum(r["cpu_s"] for r in results)
    return Limit(images_s, images_cpu_s, statistics.median(r["p50_ms"] for r in results))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare_loops")
    parser.add_argument("kind", choices=["fovea", "pillow"])
    parser.add_argument("models", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--spinning", action="store_true")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    loop = _fovea_loop(options) if options.kind == "fovea" else _pillow_loop(options)
    files = [file.read_bytes() for file in sorted(options.images.iterdir())]
    print(json.dumps(_measure(loop, files, options.batch, options.seconds)))


def _measure(loop: Loop, files: Sequence[bytes], batch: int, seconds: float) -> dict[str, float]:
    endless = itertools.cycle(files)
    for _ in range(3):
        loop([next(endless) for _ in range(batch)])
    latencies = []
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() < began + seconds:
        started = time.perf_counter()
        loop([next(endless) for _ in range(batch)])
        latencies.append(time.perf_counter() - started)
    return {
        "images": len(latencies) * batch,
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "p50_ms": statistics.median(latencies) * 1000,
    }


def _fovea_loop(options: argparse.Namespace) -> Loop:
    from fovea.images.preprocess import decode_image
    from fovea.model import versions
    from fovea.model.classifier import Classifier, SessionOptions

    bundle = versions.fetch(str(options.models))
    session = SessionOptions(threads=options.threads, spinning=options.spinning)
    classifier = Classifier(bundle, "cpu", precision=options.precision, options=session)
    spec = bundle.contract.preprocess
    return lambda files: classifier.classify(np.stack([decode_image(data, spec) for data in files]))


def _pillow_loop(options: argparse.Namespace) -> Loop:
    import onnxruntime
    from PIL import Image

    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    model = max(options.models.glob("*/model.onnx"), key=lambda path: int(path.parent.name))
    session = onnxruntime.InferenceSession(model, session_options, providers=["CPUExecutionProvider"])

    def decode(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR
        )
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        return np.asarray(image.crop((left, top, left + 224, top + 224)))

    return lambda files: session.run(
        ["probabilities"], {"pixels": np.stack([decode(data) for data in files])}
    )


if __name__ == "__main__":
    main()
