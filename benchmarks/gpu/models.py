"""Two models in one process, fp16 beside fp32, and a new version under load."""

import os
import shutil
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.gpu import device
from benchmarks.gpu.callers import Answered, call
from benchmarks.gpu.rates import rate
from benchmarks.gpu.rows import attempt, expect, measured, not_run
from benchmarks.gpu.sizes import Sizes, arguments, models_in, photographs_in
from benchmarks.served import RunningServer, running_server
from fovea.client import Client
from fovea.images.preprocess import Pixels, decode_image
from fovea.model import versions
from fovea.model.bundle import ModelBundle, Precision
from fovea.model.classifier import Classifier

CALLERS: Final = 16
LOAD_S: Final = 8
"""In which a version that is published is loaded, warmed up and served."""
PATIENCE_S: Final = 60


def main() -> None:
    content, sizes = arguments("models")
    bundle = versions.fetch(str(models_in(content)))
    with attempt("two models in one process"):
        _two_models(bundle, content, sizes)
    with attempt("a new version under load"):
        _reload(content, sizes)


def _two_models(bundle: ModelBundle, content: Path, sizes: Sizes) -> None:
    """Each is loaded through its golden check."""
    batch = sizes.batches[-1]
    before = device.used_mb() if sizes.on_gpu else None
    other: Precision = "fp16" if "fp16" in bundle.contract.variants else "fp32"
    both = [Classifier(bundle, sizes.device, None, name, batch_sizes=(batch,)) for name in ("fp32", other)]
    pixels = _pixels(bundle, content, batch)
    alone = [_rate(each, pixels, sizes.seconds) for each in both]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(_rate, both, (pixels, pixels), (sizes.seconds, sizes.seconds)))
    names = ("fp32", f"{other} beside it")
    rates = {f"{name} alone, images/s": each for name, each in zip(names, alone, strict=True)}
    rates |= {f"{name}, both at work": each for name, each in zip(names, together, strict=True)}
    after = device.used_mb()
    memory = {} if before is None or after is None else {"MB on the device": after - before}
    measured("two models in one process", {**rates, **memory}, f"batch {batch}")
    if other == "fp32":
        not_run("fp16 names what fp32 names", "the kit's model has no fp16")
        return
    named = [each.classify(pixels).argmax(axis=1) for each in both]
    agree = float(np.mean(named[0] == named[1]))
    expect("fp16 names what fp32 names", agree >= 0.99, f"{agree:.2%} of {len(pixels)} images")


def _rate(classifier: Classifier, pixels: Pixels, seconds: float) -> float:
    return rate(lambda: len(classifier.classify(pixels)), seconds)


def _pixels(bundle: ModelBundle, content: Path, batch: int) -> Pixels:
    files = sorted(photographs_in(content).iterdir())
    data = [files[index % len(files)].read_bytes() for index in range(batch)]
    return np.stack([decode_image(each, bundle.contract.preprocess) for each in data])


def _reload(content: Path, sizes: Sizes) -> None:
    seconds = LOAD_S if sizes.on_gpu else 1
    with tempfile.TemporaryDirectory() as scratch:
        models = Path(shutil.copytree(models_in(content), Path(scratch) / models_in(content).name))
        with running_server(models, "--provider", sizes.device) as server, ThreadPoolExecutor(1) as pool:
            quiet = call(server, photographs_in(content), CALLERS, seconds / 2)
            load = pool.submit(call, server, photographs_in(content), CALLERS, seconds)
            versions.publish(versions.fetch(str(models)), str(models))
            os.kill(server.pid, signal.SIGHUP)
            expect("a new version is served", *_served(server, 2))
            _say(quiet, load.result())


def _served(server: RunningServer, version: int) -> tuple[bool, str]:
    """Whether, and after how many seconds."""
    began = time.perf_counter()
    with Client(server.target) as client:
        while client.get_model().model.version != version:
            if time.perf_counter() > began + PATIENCE_S:
                return False, f"not after {PATIENCE_S} s"
            time.sleep(0.05)
    return True, f"after {time.perf_counter() - began:.2f} s"


def _say(quiet: Answered, swapping: Answered) -> None:
    measured(f"{CALLERS} callers, no new version", quiet.values())
    longer = {"p99 of that without": swapping.p99_ms / quiet.p99_ms} if quiet.p99_ms else {}
    measured(f"{CALLERS} callers, a new version meanwhile", {**swapping.values(), **longer})
    answered = swapping.images_s > 0 and swapping.errors == 0
    expect("no call fails meanwhile", answered, f"{swapping.errors} failed")


if __name__ == "__main__":
    main()
