"""How far the accuracy falls where whole groups are held out: real digits, split by writer and at random.

    python -m benchmarks.groups

scikit-learn's 1,797 digits lie writer after writer: each began with several rows of 0 to 9. Where such rows
start anew are the bounds that scikit-learn's course has for its example of groups (INRIA, "Sample grouping"):
14 stretches, of the 13 writers that the set's authors tell of. For each seed one recipe is trained twice:
with `--group-pattern`, and on a random split with as many images held out, as --compare-random-split does it.
"""

import argparse
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.arguments import positive_int
from benchmarks.machine import describe_machine
from fovea.stopping import Stopping
from trainer.config import TrainSettings
from trainer.evaluate.by_group import ByGroup, by_group, fall
from trainer.evaluate.metrics import accuracy_interval
from trainer.evaluate.prediction import predict
from trainer.fit.loop import fit
from trainer.options import DIGITS
from trainer.preparation import Start, prepare
from trainer.random_split import compare_random_split
from trainer.recipe import find_learning_rate, recipe_of
from trainer.runs.random_split import RandomSplitRecord, read_random_split
from trainer.runs.run_folder import RunFolder

BOUNDS: Final = (0, 130, 256, 386, 516, 646, 776, 915, 1029, 1157, 1287, 1415, 1545, 1667, 1797)
SIDE: Final = 32
"""Of the files, as `--data digits` has them."""


def main() -> None:
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        write_by_writer(work / "digits")
        print(
            "seed  writers trained on, held out: by writer, weakest and best; on a random split", flush=True
        )
        for seed in arguments.seeds:
            print(_row(seed, *_train(work, seed, arguments)), flush=True)
    machine = describe_machine(torch.device("cpu"), arguments.threads)
    print(f"\n{arguments.arch} at {arguments.size} pixels, {arguments.epochs} epochs; {machine}")


def write_by_writer(folder: Path) -> None:
    """`folder`/LABEL/writerNN_INDEX.png"""
    digits = load_digits()
    for writer, (first, end) in enumerate(pairwise(BOUNDS)):
        for index in range(first, end):
            target = folder / str(digits.target[index])
            target.mkdir(parents=True, exist_ok=True)
            pixels = (digits.images[index] * (255 / 16)).round().astype(np.uint8)
            picture = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            picture.save(target / f"writer{writer:02d}_{index:04d}.png")


def _train(work: Path, seed: int, arguments: argparse.Namespace) -> tuple[Start, ByGroup, RandomSplitRecord]:
    size = {"size": arguments.size, "resize": arguments.size}
    recipe = {"arch": arguments.arch, "epochs": arguments.epochs, "seed": seed}
    options: dict[str, Any] = {**DIGITS, **size, **recipe}
    settings = TrainSettings(
        data=str(work / "digits"),
        models=str(work / "models"),
        group_pattern="(writer[0-9]+)_",
        compare_random_split=True,
        cache_dir=work / "cache",
        device="cpu",
        threads=arguments.threads,
        **options,
    )
    run, stopping, start = RunFolder(work / f"run-{seed}"), Stopping(), prepare(settings)
    run.make()
    decision = find_learning_rate(start, settings)
    fit(
        start.checkpoint,
        start.data,
        recipe_of(settings, start, decision),
        start.precision,
        stopping,
        run.path,
    )
    told = start.data.told
    said = predict(start.checkpoint.network, told, settings.batch_size).argmax(1)
    fares = by_group([str(sample.group) for sample in told.samples], said == told.targets)
    compare_random_split(run, start, settings, decision, stopping)
    random = read_random_split(run)
    assert random is not None
    return start, fares, random


def _row(seed: int, start: Start, apart: ByGroup, random: RandomSplitRecord) -> str:
    groups, lower = start.data.groups, fall(apart, random.right, random.images)
    assert groups is not None
    assert lower.interval is not None
    counts = f"{groups.groups['train']:>10} {groups.groups['heldout']:>4} ({len(start.data.heldout)} images)"
    ends = f"{apart.groups[0].accuracy:.1%}, {apart.groups[-1].accuracy:.1%}"
    there = _share(random.accuracy, accuracy_interval(random.right, random.images))
    by = f"{100 * lower.points:.1f} points ({100 * lower.interval[0]:.1f} to {100 * lower.interval[1]:.1f})"
    return f"{seed:>4}  {counts}  {_share(apart.accuracy, apart.interval())}  {ends}  {there}  falls by {by}"


def _share(accuracy: float, interval: tuple[float, float] | None) -> str:
    assert interval is not None
    return f"{accuracy:.2%} ({interval[0]:.1%} to {interval[1]:.1%})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.groups", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", type=positive_int, default=16)
    parser.add_argument("--epochs", type=positive_int, default=3)
    parser.add_argument("--threads", type=positive_int, default=1)
    return parser


if __name__ == "__main__":
    main()
