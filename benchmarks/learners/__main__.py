"""Fovea's trainer beside fastai and a plain torchvision loop: what each learns of the same images, how fast.

    python -m benchmarks.learners --fastai .venv-fastai/bin/python

All learn the 1,797 real handwritten digits that `--data digits` has, 359 of them held out, from random
weights, with the same architecture, size, batches, epochs, threads, normalisation and augmentation, each in
processes of its own: (a) `by_trainer`, with its defaults and its range test, (b) `by_fastai`, with its own
range test, in the environment of another interpreter, (c) `by_torchvision`, a plain loop at one rate. They
take turns seed by seed, and each seed begins with another one, so that ratios outlast a noisy machine.
Accuracy and loss are those at the end of the last epoch; images a second are those of the steps of an epoch,
the median of all but the first.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, median
from typing import Final

import torch

from benchmarks.arguments import positive_int, program
from benchmarks.builds import ROOT
from benchmarks.learners.lesson import Learnt, Lesson
from benchmarks.machine import describe_machine
from benchmarks.processes import output_of, run
from benchmarks.recipes import spread
from fovea.cpus import available_cpus
from trainer.images.digits import write_digits

HEADINGS: Final = ("held-out accuracy, %", "held-out loss", "images/s", "of fastai's", "learning rate")
FASTAI: Final = "by_fastai"
Seen = Mapping[str, Sequence[Learnt]]
"""Of each learner, seed by seed."""


def main() -> None:
    options = _parse()
    print(
        f"{options.arch} at {options.size} px, batch {options.batch_size}, {options.epochs} epochs, "
        f"{options.seeds} seeds: means, and the lowest and the highest\n"
        f"{describe_machine(torch.device('cpu'), options.threads)}\n"
    )
    with tempfile.TemporaryDirectory() as scratch:
        seen = learn_in_turns(options, write_digits(Path(scratch) / "digits"))
    for line in table(seen):
        print(line)


def _parse() -> argparse.Namespace:
    summary = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learners", description=summary)
    parser.add_argument(
        "--fastai", type=program, required=True, help="a Python in whose environment fastai is installed"
    )
    parser.add_argument("--arch", default="resnet34")
    parser.add_argument("--size", type=positive_int, default=24, help="what the model sees, in pixels")
    parser.add_argument("--batch-size", type=positive_int, default=32)
    parser.add_argument("--epochs", type=positive_int, default=8)
    parser.add_argument("--seeds", type=positive_int, default=3)
    parser.add_argument("--threads", type=positive_int, default=available_cpus())
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs 1: the first epoch's speed is not told, so there should be more")
    return options


def learn_in_turns(options: argparse.Namespace, folder: Path) -> Seen:
    """Says on stderr what comes of each turn."""
    pythons = {"by_trainer": sys.executable, FASTAI: str(options.fastai), "by_torchvision": sys.executable}
    seen: dict[str, list[Learnt]] = {name: [] for name in pythons}
    for seed in range(options.seeds):
        lesson = _lesson(options, folder, seed)
        first = seed % len(pythons)
        for name in (*list(pythons)[first:], *list(pythons)[:first]):
            words = [pythons[name], "-m", f"benchmarks.learners.{name}", json.dumps(asdict(lesson))]
            learnt = Learnt(**json.loads(output_of(words, folder=ROOT).splitlines()[-1]))
            print(f"seed {seed}: {learnt}", file=sys.stderr)
            seen[name].append(learnt)
    return seen


def _lesson(options: argparse.Namespace, folder: Path, seed: int) -> Lesson:
    return Lesson(
        str(folder),
        options.arch,
        options.size,
        options.batch_size,
        options.epochs,
        options.threads,
        seed,
    )


def table(seen: Seen) -> Iterator[str]:
    """In Markdown."""
    yield f"| | {' | '.join(HEADINGS)} |\n|---|{'---:|' * len(HEADINGS)}"
    fastai_s = [images_s(each) for each in seen[FASTAI]]
    for learnt in seen.values():
        rates_s = [images_s(each) for each in learnt]
        ratio = median(own / theirs for own, theirs in zip(rates_s, fastai_s, strict=True))
        cells = [
            learnt[0].learner,
            spread([100 * each.accuracy for each in learnt], 2),
            spread([each.loss for each in learnt], 4),
            f"{mean(rates_s):.0f} ({min(rates_s):.0f} to {max(rates_s):.0f})",
            f"{ratio:.2f}",
            ", ".join(f"{each.lr:.2g}" for each in learnt),
        ]
        yield f"| {' | '.join(cells)} |"


def images_s(learnt: Learnt) -> float:
    """Of an epoch's steps, the first epoch's left out."""
    return learnt.images / median(learnt.train_s[1:])


if __name__ == "__main__":
    run(main)
