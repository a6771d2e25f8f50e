"""What the recipe's options make of the held-out result: real digits, few of them, some seeds each.

    python -m benchmarks.recipes

A small network learns thirty handwritten digits a class from random weights, at one learning rate, and is
measured on the 359 that are held out, at the end of the last epoch. Options stand beside what they change.
For `--fit` each digit lies on a strip three times as wide as high, at its left, middle or right. Beside wrong
labels, four in ten of the training images have that of another digit, as in section 4.4 of mixup's paper
(arXiv 1710.09412); those that are held out have their own.
"""

import argparse
import logging
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Literal

import torch
from PIL import Image

from benchmarks.arguments import positive_int
from benchmarks.machine import describe_machine
from benchmarks.processes import run
from benchmarks.training import train
from trainer.config import TrainSettings
from trainer.images.digits import write_digits
from trainer.preparation import prepare
from trainer.runs.history import EpochRecord

IMAGES_A_CLASS: Final = 30
LR: Final = 3e-3
MISLABELLED: Final = 0.4
OPTIONS: Final[Mapping[str, Any]] = {
    "weights": "none",
    "batch_size": 32,
    "lr": LR,
    "flip": False,
    "min_crop": 0.85,
    "max_warp": 0.0,
    "max_lighting": 0.0,
    "device": "cpu",
    "threads": 1,
}
"""Much as --data digits implies them."""


Images = Literal["few", "wide", "mislabelled"]


@dataclass(frozen=True)
class Recipe:
    """Options, and the images that show what they are for."""

    options: Mapping[str, Any]
    images: Images = "few"


RECIPES: Final[Mapping[str, Recipe]] = {
    "--schedule constant": Recipe({"schedule": "constant"}),
    "--schedule constant --ema 0.99": Recipe({"schedule": "constant", "ema": 0.99}),
    "--schedule triangular": Recipe({"schedule": "triangular"}),
    "--schedule triangular2": Recipe({"schedule": "triangular2"}),
    "--schedule exp_range": Recipe({"schedule": "exp_range"}),
    "--schedule onecycle (the default)": Recipe({}),
    "--batch-size 16 --accumulate 2": Recipe({"batch_size": 16, "accumulate": 2}),
    "--mixup 0.2": Recipe({"mixup": 0.2}),
    "--cutmix 1": Recipe({"cutmix": 1.0}),
    "--size 32": Recipe({"size": 32, "resize": 32}),
    "--sizes 16,32": Recipe({"sizes": "16,32", "size": 32, "resize": 32}),
    "no mixup (the default), wrong labels": Recipe({}, "mislabelled"),
    "--mixup 1, wrong labels": Recipe({"mixup": 1.0}, "mislabelled"),
    "--mixup 8, wrong labels": Recipe({"mixup": 8.0}, "mislabelled"),
    "--fit crop (the default), wide": Recipe({"size": 32, "resize": 32}, "wide"),
    "--fit pad, wide": Recipe({"size": 32, "resize": 32, "fit": "pad"}, "wide"),
}


@dataclass(frozen=True)
class Training:
    """What came of one."""

    last: EpochRecord
    cpu_s: float
    """Of all its epochs."""


HEADINGS: Final = ("recipe", "held-out loss", "held-out accuracy, %", "training loss", "CPU, s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__.split("\n")[0])
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", type=positive_int, default=16, help="what the model sees, in pixels")
    parser.add_argument("--seeds", type=positive_int, default=3)
    parser.add_argument("--epochs", type=positive_int, default=16)
    parser.add_argument("--processes", type=positive_int, default=2, help="of one thread each")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="RECIPE")
    options = parser.parse_args()
    print(
        f"{options.arch} at {options.size} px, {10 * IMAGES_A_CLASS} images, {options.epochs} epochs, "
        f"{options.seeds} seeds: means, and the lowest and the highest\n"
        f"{describe_machine(torch.device('cpu'), 1)}\n"
    )
    print(f"| {' | '.join(HEADINGS)} |\n|---|{'---:|' * (len(HEADINGS) - 1)}")
    with tempfile.TemporaryDirectory() as scratch, _pool(options.processes) as pool:
        few = _write_few(Path(scratch))
        wide = _write_wide(few, Path(scratch) / "wide")
        images = {"few": few, "wide": wide, "mislabelled": _mislabel(few, Path(scratch) / "mislabelled")}
        size = {"size": options.size, "resize": options.size}
        shared: dict[str, Any] = {"arch": options.arch, "epochs": options.epochs, **size}
        trainings = {
            name: [
                pool.submit(_train, images[recipe.images], {**shared, **recipe.options}, seed)
                for seed in range(options.seeds)
            ]
            for name, recipe in RECIPES.items()
            if name in options.only
        }
        for name, seeds in trainings.items():
            print(_row(name, [seed.result() for seed in seeds]), flush=True)


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Of new processes, which have no threads of this one's torch. What has not begun at the end does not."""
    pool = ProcessPoolExecutor(processes, get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _row(name: str, seeds: Sequence[Training]) -> str:
    ends = [training.last for training in seeds]
    figures = (
        spread([end.heldout_loss for end in ends], 3),
        spread([100 * end.heldout_accuracy for end in ends], 1),
        spread([end.train_loss for end in ends], 3),
        spread([training.cpu_s for training in seeds], 0),
    )
    return f"| `{name}` | {' | '.join(figures)} |"


def _write_few(scratch: Path) -> Path:
    """The digits with fewer to train on: what keeps a network from learning them by heart then shows."""
    data = write_digits(scratch / "digits")
    for label in sorted((data / "train").iterdir()):
        for file in sorted(label.iterdir())[IMAGES_A_CLASS:]:
            file.unlink()
    return data


def _write_wide(few: Path, folder: Path) -> Path:
    """The same digits on strips: where on its own, the file's name decides."""
    shutil.copytree(few, folder)
    for file in folder.glob("*/*/*.png"):
        with Image.open(file) as opened:
            strip = Image.new(opened.mode, (3 * opened.width, opened.height))
            strip.paste(opened, (opened.width * random.Random(file.stem).randrange(3), 0))
        strip.save(file)
    return folder


def _mislabel(few: Path, folder: Path) -> Path:
    """Four in ten have the label of another class."""
    shutil.copytree(few, folder)
    labels = sorted(place.name for place in (folder / "train").iterdir())
    files = sorted((folder / "train").glob("*/*.png"))
    draw = random.Random(0)
    for file in draw.sample(files, round(MISLABELLED * len(files))):
        other = draw.choice([label for label in labels if label != file.parent.name])
        file.rename(folder / "train" / other / f"was-{file.parent.name}-{file.name}")
    return folder


def _train(data: Path, recipe: Mapping[str, Any], seed: int) -> Training:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(dir=data.parent) as scratch:
        places = {"data": str(data), "models": f"{scratch}/models", "cache_dir": Path(scratch)}
        settings = TrainSettings(**{**places, **OPTIONS, **recipe, "seed": seed})
        start = prepare(settings)
        began = time.process_time()
        _, epochs = train(start, settings, Path(scratch))
    return Training(epochs[-1], time.process_time() - began)


def spread(values: Sequence[float], digits: int) -> str:
    """The mean, with the lowest and the highest."""
    low, high = min(values), max(values)
    return f"{statistics.mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    run(main)
