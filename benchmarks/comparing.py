"""How near `python -m trainer compare` comes to the bare loops of two scorers, one after the other.

    python -m benchmarks.comparing
    python -m benchmarks.comparing --model resnet34 --images 400

Two versions of one network answer the same JPEG files of 500 x 375 pixels. A bare loop reads, decodes and
classifies, a process a core: two of them, one for each version, are what two scorers cannot beat. The whole
command is timed, with its start and its page, and what it takes of the CPU: on a busy machine that says more.
"""

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import torch

from benchmarks import scoring_loops
from benchmarks.arguments import positive_float, positive_int
from benchmarks.machine import describe_machine
from benchmarks.processes import run, said_by
from benchmarks.scoring_loops import Measured
from benchmarks.serving_models import LABELS, photographs, publish_tiny, publish_untrained_resnet34
from fovea.cpus import available_cpus

PUBLISH: Final = {"tiny": publish_tiny, "resnet34": publish_untrained_resnet34}
DISTINCT: Final = 32


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.comparing", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--model", choices=PUBLISH, default="tiny")
    parser.add_argument("--images", type=positive_int, default=10_000)
    parser.add_argument("--seconds", type=positive_float, default=4, help="of each bare loop")
    parser.add_argument("--rounds", type=positive_int, default=3, help="in which all are measured in turn")
    options = parser.parse_args()
    print(describe_machine(torch.device("cpu"), available_cpus()), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        _write_images(work, options.images)
        for version in ("1", "2"):
            PUBLISH[options.model](work / "models", work / f"staging-{version}")
        rounds = [_round(work, options) for _ in range(options.rounds)]
    _print(rounds)


def _write_images(work: Path, count: int) -> None:
    """Files of their own names below a folder for each class; of DISTINCT contents."""
    contents = photographs(DISTINCT, 500, 375)
    originals = [work / f"{place}.jpg" for place in range(len(contents))]
    for original, content in zip(originals, contents, strict=True):
        original.write_bytes(content)
    for label in LABELS:
        (work / "images" / label).mkdir(parents=True)
    for number in range(count):
        folder = work / "images" / LABELS[number % len(LABELS)]
        os.link(originals[number % DISTINCT], folder / f"{number:06}.jpg")


def _round(work: Path, options: argparse.Namespace) -> dict[str, Measured]:
    def loop() -> Measured:
        source = str(work / "images")
        return scoring_loops.run(
            "all", work / "models", source, options.images, options.seconds, available_cpus()
        )

    return {"two bare loops": _one_after_the_other(loop(), loop()), "compare": _compare(work, options.images)}


def _one_after_the_other(one: Measured, other: Measured) -> Measured:
    """Each image goes through both."""
    return Measured(
        1 / (1 / one.images_s + 1 / other.images_s), 1 / (1 / one.images_cpu_s + 1 / other.images_cpu_s)
    )


def _compare(work: Path, images: int) -> Measured:
    models = work / "models"
    flags = ("--device", "cpu", "--output", str(work / "out"), "--log-level", "warning")
    pair = (str(models / "2"), "--against", str(models / "1"))
    words = ("compare", *pair, "--data", str(work / "images"), *flags)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    said_by([sys.executable, "-m", "trainer", *words])
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(images / took, images / cpu_s)


def _print(rounds: list[dict[str, Measured]]) -> None:
    for name in rounds[0]:
        images_s, cpu = (
            statistics.median(getattr(each[name], field) for each in rounds)
            for field in ("images_s", "images_cpu_s")
        )
        print(f"{name:<16}{images_s:>10,.1f} images/s{cpu:>10,.1f} images per CPU second")
    for field in ("images_s", "images_cpu_s"):
        shares = [getattr(each["compare"], field) / getattr(each["two bare loops"], field) for each in rounds]
        each = ", ".join(f"{share:.2f}" for share in shares)
        print(f"compare against two bare loops, by {field}: {statistics.median(shares):.2f} ({each})")


if __name__ == "__main__":
    run(main)
