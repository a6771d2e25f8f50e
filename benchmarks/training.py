"""How near training comes to the speed of its model, and how it compares with fastai.

    python -m benchmarks.training
    python -m benchmarks.training --fastai .fastai/bin/python

Images a second (a) of the model alone, on random tensors that are on the device already: the limit; (b) of
the trainer from the second epoch on; (c) of its first epoch, with decoding; (d) of fastai on the same folder,
with the same architecture, size and batch, in the environment of another interpreter. (a) and (b) take turns,
so that their ratio outlasts a noisy machine. Nothing is said about accuracy: the images are made up.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.machine import describe_machine
from benchmarks.photographs import write_photographs
from fovea.stopping import Stopping
from trainer.config import TrainSettings
from trainer.fit.loop import fit
from trainer.history import EpochRecord
from trainer.learning_rate.decision import fixed_rate
from trainer.network.model import adamw
from trainer.preparation import Start, prepare, recipe_of

CLASSES = 10


def main() -> None:
    options = _parse()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as work:
        folder = write_photographs(
            options.folder or Path(work) / "photographs",
            options.images,
            CLASSES,
            options.width,
            options.height,
        )
        settings = _settings(folder, Path(work), options)
        started = time.perf_counter()
        start = prepare(settings)
        decoding_s = time.perf_counter() - started
        first = _epoch(start, settings, Path(work) / "first")
        measured = [_round(start, settings, Path(work) / f"round-{n}") for n in range(options.rounds)]
        fastai = _fastai(options, folder, settings) if options.fastai else None
    images = len(start.data.train) // settings.batch_size * settings.batch_size
    limit, trainer = (statistics.median(values) for values in zip(*measured, strict=True))
    ratio = statistics.median(b / a for a, b in measured)
    rows = [
        ("(a) the model alone, the limit", limit),
        ("(b) the trainer, from the second epoch on", trainer),
        ("(c) the first epoch, with decoding", images / (decoding_s + first.train_s)),
        *([("(d) fastai, from the second epoch on", fastai)] if fastai else []),
    ]
    print(
        f"{settings.arch} at {settings.size} px, batch {settings.batch_size}, {images} images an epoch of "
        f"{options.width} x {options.height} px, {options.rounds} rounds"
    )
    print(describe_machine(start.precision.device, settings.threads))
    print("\n| | images/s |\n|---|---:|")
    for name, value in rows:
        print(f"| {name} | {value:.1f} |")
    spread = ", ".join(f"{b / a:.3f}" for a, b in measured)
    print(f"\n(b)/(a): {ratio:.3f} (median of {spread})")
    if fastai:
        print(f"(b)/(d): {trainer / fastai:.2f}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--arch", default="resnet34")
    parser.add_argument("--images", type=int, default=640, help="an epoch")
    parser.add_argument("--width", type=int, default=500, help="of the files, in pixels")
    parser.add_argument("--height", type=int, default=375)
    parser.add_argument("--size", type=int, default=128, help="what the model sees, in pixels")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="of (a) and (b) in turn")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--folder", type=Path, help="keep the images here")
    parser.add_argument("--fastai", type=Path, help="a Python in whose environment fastai is installed")
    return parser.parse_args()


def _settings(folder: Path, work: Path, options: argparse.Namespace) -> TrainSettings:
    return TrainSettings(
        data=str(folder),
        models=str(work / "models"),
        cache_dir=work / "cache",
        arch=options.arch,
        weights="none",
        size=options.size,
        batch_size=options.batch_size,
        lr=1e-3,
        device=options.device,
    )


def _round(start: Start, settings: TrainSettings, run: Path) -> tuple[float, float]:
    """Images/s of (a) and of (b)."""
    steps = len(start.data.train) // settings.batch_size
    limit = steps * settings.batch_size / _model_alone_s(start, settings, steps)
    epoch = _epoch(start, settings, run)
    return limit, steps * settings.batch_size / epoch.train_s


def _model_alone_s(start: Start, settings: TrainSettings, steps: int) -> float:
    """Seconds of so many optimizer steps on one batch that is there already."""
    network, precision = start.checkpoint.network, start.precision
    shape = (settings.batch_size, settings.size, settings.size, 3)
    pixels = 255 * torch.rand(shape, device=precision.device)
    targets = torch.randint(0, CLASSES, (settings.batch_size,), device=precision.device)
    optimizer, scaler = adamw(network, 1e-3, 1e-3), precision.scaler()
    network.train()
    for step in range(-2, steps):
        if step == 0:
            _wait_for(precision.device)
            started = time.perf_counter()
        with precision.autocast():
            loss = F.cross_entropy(network(pixels), targets)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    _wait_for(precision.device)
    return time.perf_counter() - started


def _epoch(start: Start, settings: TrainSettings, run: Path) -> EpochRecord:
    """One, by the trainer."""
    run.mkdir()
    with _silent():
        recipe = recipe_of(settings, start, fixed_rate(1e-3))
        _, epochs = fit(start.checkpoint, start.data, recipe, start.precision, Stopping(), run)
    return epochs[0]


def _fastai(options: argparse.Namespace, folder: Path, settings: TrainSettings) -> float:
    script = Path(__file__).with_name("fastai_training.py")
    wanted = {
        "folder": str(folder),
        "arch": options.arch,
        "size": options.size,
        "batch_size": options.batch_size,
        "threads": settings.threads,
        "device": options.device,
    }
    command = [str(options.fastai), str(script), json.dumps(wanted)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"fastai's own training ended with {result.returncode}")
    return float(json.loads(result.stdout.splitlines()[-1])["images_per_s"])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def _silent() -> Iterator[None]:
    """Without the line an epoch."""
    stdout = sys.stdout
    with Path(os.devnull).open("w") as sink:
        sys.stdout = sink
        try:
            yield
        finally:
            sys.stdout = stdout


if __name__ == "__main__":
    main()
