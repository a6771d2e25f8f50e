"""How near training comes to the speed of its model, and how it compares with fastai.

    python -m benchmarks.training
    python -m benchmarks.training --fastai .fastai/bin/python

Images a second (a) of the model alone, on random tensors that are on the device already: the limit; (b) of
the trainer from the second epoch on; (c) of its first epoch, with listing and decoding; (d) of fastai on the
same folder, with the same architecture, size and batch, in the environment of another interpreter. (a) and
(b) take turns, so that their ratio outlasts a noisy machine. Nothing is said about accuracy: the images are
made up.
"""

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.machine import describe_machine
from benchmarks.processes import output_of, run
from benchmarks.training_options import CLASSES, parse, photographs_of, settings_of
from fovea.stopping import Stopping
from trainer.config import TrainSettings
from trainer.fit.loop import fit
from trainer.learning_rate.decision import Decision, fixed_rate
from trainer.network.model import adamw
from trainer.network.timm_networks import preprocess_for
from trainer.preparation import Start, list_images, prepare, read_data
from trainer.recipe import find_learning_rate, recipe_of
from trainer.runs.history import EpochRecord


@dataclass(frozen=True)
class Training:
    """Images a second."""

    alone: list[float]
    """Of the model alone, round by round."""
    trained: list[float]
    """Of the trainer from its second epoch on, round by round."""
    first: float
    """Of the trainer's first epoch, with decoding."""
    images: int
    """Of an epoch."""
    settings: TrainSettings
    device: torch.device


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as work:
        folder = photographs_of(options, Path(work))
        seen = measure(options, folder, Path(work))
        fastai = _fastai(options, folder, seen.settings) if options.fastai else None
    _print(options, seen, fastai)


def measure(options: argparse.Namespace, folder: Path, work: Path) -> Training:
    """Trains in a new folder of work, whose cache of decoded images is empty."""
    logging.disable(logging.WARNING)
    settings = settings_of(options, folder, work)
    started = time.perf_counter()
    preprocess = preprocess_for(settings.arch, settings.preprocess, settings.size, settings.resize)
    read_data(list_images(settings), settings, settings.threads, preprocess)
    decoding_s = time.perf_counter() - started
    start = prepare(settings)  # which finds them decoded, and builds the network
    first = _epoch(start, settings, work / "first")
    rounds = [_round(start, settings, work / f"round-{number}") for number in range(options.rounds)]
    images = len(start.data.train) // settings.batch_size * settings.batch_size
    alone, trained = ([each[which] for each in rounds] for which in (0, 1))
    first_images_s = images / (decoding_s + first.train_s)
    return Training(alone, trained, first_images_s, images, settings, start.precision.device)


def _print(options: argparse.Namespace, seen: Training, fastai: float | None) -> None:
    limit, trainer = statistics.median(seen.alone), statistics.median(seen.trained)
    ratios = [b / a for a, b in zip(seen.alone, seen.trained, strict=True)]
    rows = [
        ("(a) the model alone, the limit", limit),
        ("(b) the trainer, from the second epoch on", trainer),
        ("(c) the first epoch, with decoding", seen.first),
        *([("(d) fastai, from the second epoch on", fastai)] if fastai else []),
    ]
    print(
        f"{seen.settings.arch} at {seen.settings.size} px, batch {seen.settings.batch_size}, {seen.images} "
        f"images an epoch of {options.width} x {options.height} px, {options.rounds} rounds"
    )
    print(describe_machine(seen.device, seen.settings.threads))
    print("\n| | images/s |\n|---|---:|")
    for name, value in rows:
        print(f"| {name} | {value:.1f} |")
    spread = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"\n(b)/(a): {statistics.median(ratios):.3f} (median of {spread})")
    if fastai:
        print(f"(b)/(d): {trainer / fastai:.2f}")


def _round(start: Start, settings: TrainSettings, run: Path) -> tuple[float, float]:
    """Images/s of (a) and of (b)."""
    steps = len(start.data.train) // settings.batch_size
    limit = steps * settings.batch_size / model_alone_s(start, settings, steps)
    epoch = _epoch(start, settings, run)
    return limit, steps * settings.batch_size / epoch.train_s


def model_alone_s(start: Start, settings: TrainSettings, steps: int) -> float:
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
    return train(start, settings, run)[1][0]


def train(start: Start, settings: TrainSettings, run: Path) -> tuple[Decision, list[EpochRecord]]:
    """As the trainer's job does it, in a folder that is there; nothing is released."""
    with silent():
        given = fixed_rate(settings.lr) if settings.lr != "auto" else None
        decision = given or find_learning_rate(start, settings)
        recipe = recipe_of(settings, start, decision)
        _, epochs = fit(start.checkpoint, start.data, recipe, start.precision, Stopping(), run)
    return decision, epochs


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
    return float(json.loads(output_of(command).splitlines()[-1])["images_per_s"])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def silent() -> Iterator[None]:
    """Without the line an epoch."""
    stdout = sys.stdout
    with Path(os.devnull).open("w") as sink:
        sys.stdout = sink
        try:
            yield
        finally:
            sys.stdout = stdout


if __name__ == "__main__":
    run(main)
