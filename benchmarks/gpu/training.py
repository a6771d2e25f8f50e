"""Training on a GPU, beside steps on one batch that is there already; stopping, going on, releasing."""

import json
import logging
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from benchmarks.gpu import device
from benchmarks.gpu.rows import attempt, expect, measured, not_run
from benchmarks.gpu.sizes import Sizes, arguments
from benchmarks.serving_models import photographs
from benchmarks.training import model_alone_s, silent
from benchmarks.training_options import CLASSES
from fovea.errors import ExitCode
from fovea.model import versions
from fovea.stopping import Stopping
from trainer.config import TrainSettings
from trainer.fit.loop import fit
from trainer.learning_rate.decision import fixed_rate
from trainer.network.precision import check_compiler
from trainer.preparation import Start, prepare
from trainer.recipe import find_learning_rate, recipe_of

WIDTH, HEIGHT = 500, 375
PUBLISHED: Final = "published: timm, resnet34, AMP, NHWC, RTX 3090: 2,037 images/s"


def main() -> None:
    _, sizes = arguments("training")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        write_photographs(work / "photographs", sizes.images)
        settings = _settings(work, sizes)
        began = time.perf_counter()
        start = prepare(settings)
        seconds = time.perf_counter() - began
        measured("reading the images, once", {"images/s": sizes.images / seconds, "s": seconds})
        with attempt("range test"):
            _range_test(start, settings)
        with attempt("steps"):
            _epochs(start, settings, work / "eager", sizes)
        with attempt("stopping and going on"):
            _stop_and_go_on(settings, work)
        with attempt("steps with --compile"):
            _compiled(start, settings, work / "compiled", sizes)
    not_run("a resumed run's bits", "they are promised on a CPU alone: a GPU adds in no fixed order")


def write_photographs(folder: Path, count: int) -> None:
    """A folder a class, a tenth of the images held out; each is cut another way from a photograph."""
    parts = 16
    with ProcessPoolExecutor() as pool:
        shares = [(folder, part, -(-count // parts)) for part in range(parts)]
        list(pool.map(_write_share, *zip(*shares, strict=True)))


def _write_share(folder: Path, share: int, count: int) -> None:
    for index, data in enumerate(photographs(count, WIDTH - share, HEIGHT - share), share * count):
        part = "val" if index % 10 == 9 else "train"
        file = folder / part / f"class-{(index + index // 10) % CLASSES}" / f"{index:05}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _settings(work: Path, sizes: Sizes) -> TrainSettings:
    return TrainSettings(
        data=str(work / "photographs"),
        models=str(work / "models"),
        cache_dir=work / "cache",
        runs=work / "runs",
        arch=sizes.architecture,
        weights="none",
        size=sizes.side,
        batch_size=sizes.batch_size,
        epochs=sizes.epochs,
        device=sizes.device,
        num_steps=100 if sizes.on_gpu else 4,
    )


def _range_test(start: Start, settings: TrainSettings) -> None:
    began = time.perf_counter()
    decision = find_learning_rate(start, settings)
    points = len(decision.curve.losses) if decision.curve else 0
    seconds = time.perf_counter() - began
    measured("range test", {"s": seconds, "points": points, "learning rate": decision.lr}, decision.why)


def _epochs(start: Start, settings: TrainSettings, run: Path, sizes: Sizes) -> None:
    """From the second epoch on, between two measurements of the limit."""
    before = _limit(start, settings)
    with device.busy() if sizes.on_gpu else nullcontext() as busy:
        rate = _second_epoch(start, settings, run)
    limit = statistics.mean((before, _limit(start, settings)))
    shape = f"{start.precision.dtype}, {start.precision.memory_format}, batch {settings.batch_size}"
    measured("optimizer steps on one batch, the limit", {"images/s": limit}, shape)
    measured("the trainer, second epoch", {"images/s": rate, "of the limit": rate / limit}, PUBLISHED)
    if busy is not None:
        measured("the GPU is busy", {"share of the time": busy.share}, "all epochs, scoring too")
    else:
        not_run("the GPU is busy", "this is a rehearsal on the CPU")


def _limit(start: Start, settings: TrainSettings) -> float:
    steps = len(start.data.train) // settings.batch_size
    return steps * settings.batch_size / model_alone_s(start, settings, steps)


def _second_epoch(start: Start, settings: TrainSettings, run: Path) -> float:
    """Images/s, the median of the second epoch and those after it."""
    run.mkdir()
    with silent():
        recipe = recipe_of(settings, start, fixed_rate(1e-3))
        _, epochs = fit(start.checkpoint, start.data, recipe, start.precision, Stopping(), run)
    images = len(start.data.train) // settings.batch_size * settings.batch_size
    return images / statistics.median(epoch.train_s for epoch in epochs[1:])


def _compiled(start: Start, settings: TrainSettings, run: Path, sizes: Sizes) -> None:
    if not sizes.on_gpu:
        not_run("the trainer, second epoch, --compile", "this is a rehearsal on the CPU")
        return
    check_compiler(start.precision.device)
    began = time.perf_counter()
    rate = _second_epoch(start, settings.model_copy(update={"compile": True}), run)
    values = {"images/s": rate, "of the limit": rate / _limit(start, settings)}
    took = f"{time.perf_counter() - began:.0f} s in all; the limit is not compiled"
    measured("the trainer, second epoch, --compile", values, took)


def _stop_and_go_on(settings: TrainSettings, work: Path) -> None:
    """SIGTERM after the first epoch; the same command goes on to a release that the gate has passed."""
    command = _command(settings)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True) as process:
        assert process.stdout
        process.stdout.readline()  # the first epoch is done
        began = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        process.communicate()
    took_s = time.perf_counter() - began
    stopped = process.returncode == ExitCode.TERMINATED
    expect("SIGTERM saves and ends with 143", stopped, f"exit {process.returncode} after {took_s:.1f} s")
    began = time.perf_counter()
    code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=sys.stderr, check=False).returncode
    expect(
        "the same --run-id goes on",
        code == ExitCode.DONE,
        f"exit {code}, {time.perf_counter() - began:.1f} s",
    )
    summary = json.loads((work / "runs" / "stopped" / "summary.json").read_text())
    bundle = versions.fetch(settings.models)
    variants = ", ".join(("fp32", *bundle.contract.variants))
    expect(
        "the gate passes what was trained",
        bundle.contract.version == 1,
        f"{variants}; {summary['epochs']} epochs",
    )


def _command(settings: TrainSettings) -> list[str]:
    given = {
        **{name: getattr(settings, name) for name in ("models", "runs", "cache_dir", "arch", "weights")},
        **{name: getattr(settings, name) for name in ("size", "batch_size", "epochs", "device", "num_steps")},
        "data": ",".join(settings.data),
        "precisions": "fp16",
        "max_accuracy_drop": 1,
        "run_id": "stopped",
        "checkpoint_every": 1,
    }
    flags = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return [sys.executable, "-m", "trainer", "train", "--publish-anyway", *flags]


if __name__ == "__main__":
    main()
