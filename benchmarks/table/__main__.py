"""Fills in the table of docs/benchmarks.md: this build beside an older one and other servers, in one run.

    python -m benchmarks.table --build .builds/d1804b7
    python -m benchmarks.table --build .builds/d1804b7 --only memory client --seconds 2 --rounds 1

`make bench-serving` sets up what it needs and runs all of it. Every number is the median of interleaved
rounds, every ratio the median of the rounds' own.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import torch

from benchmarks.arguments import positive_float, positive_int
from benchmarks.builds import THIS, other_build
from benchmarks.in_turns import check_environments
from benchmarks.machine import describe_machine
from benchmarks.measuring import write_files
from benchmarks.processes import run
from benchmarks.serving_models import photographs
from benchmarks.table import client, decoding, doors, memory, models, scorer, serving, trainer
from benchmarks.table.bench import Bench, Part
from benchmarks.table.rows import Row, print_rows
from fovea.cpus import available_cpus
from fovea.errors import SettingsInvalid


class _Needs(NamedTuple):
    measure: Part
    build: bool
    peers: tuple[str, ...] = ()


PARTS: Final = {
    "memory": _Needs(memory.measure, build=True),
    "models": _Needs(models.measure, build=False),
    "decoding": _Needs(decoding.measure, build=True),
    "cheap": _Needs(serving.cheap, build=True, peers=("triton", "mosec")),
    "doors": _Needs(doors.measure, build=True, peers=doors.PEERS),
    "client": _Needs(client.measure, build=True, peers=("triton",)),
    "resnet34": _Needs(serving.resnet34, build=False, peers=("triton",)),
    "scorer": _Needs(scorer.measure, build=True),
    "trainer": _Needs(trainer.measure, build=False),
}


def main() -> None:
    options = _parse()
    parts = {name: PARTS[name] for name in options.only or PARTS}
    _check(options, parts)
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        small = write_files(work / "small", photographs(32, 500, 375))
        older = other_build(options.build) if options.build else THIS
        bench = Bench(work, small, older, options.seconds, options.rounds)
        print(describe_machine(torch.device("cpu"), available_cpus()))
        for name, part in parts.items():
            _print(name, part.measure(bench), options)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, help="the checkout that this one is measured beside")
    parser.add_argument("--only", choices=PARTS, nargs="+", help="these parts")
    parser.add_argument("--seconds", type=positive_float, default=5, help="of each measurement in a round")
    parser.add_argument("--rounds", type=positive_int, default=3)
    parser.add_argument("--work", type=Path, help="where networks and photographs are kept for the next run")
    return parser.parse_args()


def _check(options: argparse.Namespace, parts: dict[str, _Needs]) -> None:
    """Before anything is measured. Raises SettingsInvalid, Unavailable."""
    asking = [name for name, part in parts.items() if part.build]
    if asking and not options.build:
        raise SettingsInvalid(f"{', '.join(asking)}: --build has to name the checkout to measure beside")
    check_environments([peer for part in parts.values() for peer in part.peers])


def _print(name: str, rows: list[Row], options: argparse.Namespace) -> None:
    """With the command that measures these rows again."""
    build = f" --build {options.build}" if options.build else ""
    rest = f"--only {name} --seconds {options.seconds:g} --rounds {options.rounds}"
    print(f"\n`python -m benchmarks.table{build} {rest}`")
    print_rows(rows)


if __name__ == "__main__":
    run(main)
