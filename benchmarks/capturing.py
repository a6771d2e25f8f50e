"""What capture costs a server: one without it and one that captures some 1 % of its answers, in turns.

    python -m benchmarks.capturing
    python -m benchmarks.capturing --only tiny --build .builds/d1804b7 --seconds 20

Images per CPU second of the server's processes, images a second and the median latency, of a lone caller and
of 16, with the ratios to the server without capture; with `--build`, of another checkout too. The captures go
into a local folder, a file every two seconds, and are counted at the end.
"""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

import torch

from benchmarks.arguments import positive_float, positive_int
from benchmarks.builds import THIS, other_build
from benchmarks.in_turns import ROUNDS, Contender, Rounds, ratio, take_turns
from benchmarks.machine import describe_machine
from benchmarks.measuring import write_files
from benchmarks.networks import NETWORKS, Bundles
from benchmarks.processes import run
from benchmarks.served import running_server
from benchmarks.serving_models import photographs
from fovea.capture.reading import read_captures
from fovea.cpus import available_cpus

CLIENTS: Final = (1, 16)
OFF: Final = "without capture"
ON: Final = "some captured"
CAPTURE: Final = (
    *("--capture-share", "0.01", "--capture-margin", "0"),
    # The networks abstain often: it is the budget that keeps captures few, 10 of two seconds' answers.
    *("--capture-per-hour", "18000", "--capture-bytes-per-hour", str(2**42), "--capture-seconds", "2"),
)
COLUMNS: Final = {"images per CPU second": "images_cpu_s", "images/s": "images_s", "p50 ms": "p50_ms"}


def main() -> None:
    options = _parse()
    print(describe_machine(torch.device("cpu"), available_cpus()))
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        images = write_files(work / "small", photographs(32, 500, 375))
        older = other_build(options.build) if options.build else THIS
        models = Bundles(work, images, older).of(options.only)
        captures = Path(scratch) / "captures"
        with ExitStack() as stack:
            contenders = _contenders(stack, models, captures, options.build)
            answered = 0.0
            for clients in CLIENTS:
                seen = take_turns(
                    contenders, images, clients, options.seconds / options.rounds, options.rounds
                )
                _print(options.only, clients, seen)
                answered += sum(each.images_s for each in seen[ON]) * options.seconds / options.rounds
        captured = sum(1 for _ in read_captures(str(captures)))
        print(f"captured: {captured:,} of some {answered:,.0f} ({captured / answered:.1%})")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.capturing", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--only", choices=sorted(NETWORKS), default="tiny")
    parser.add_argument("--build", type=Path, help="compare with this checkout of the project too")
    parser.add_argument("--seconds", type=positive_float, default=15, help="of each measurement")
    parser.add_argument("--rounds", type=positive_int, default=ROUNDS, help="in which servers take turns")
    parser.add_argument("--work", type=Path, help="where models and photographs are kept for the next run")
    return parser.parse_args()


def _contenders(stack: ExitStack, models: Path, captures: Path, build: Path | None) -> Sequence[Contender]:
    flags = {OFF: (), ON: ("--capture", str(captures), *CAPTURE)}
    servers = {name: stack.enter_context(running_server(models, *more)) for name, more in flags.items()}
    if build is not None:
        older = other_build(build)
        servers[older.name] = stack.enter_context(running_server(models, build=older))
    return [Contender(name, server.pid, server.target) for name, server in servers.items()]


def _print(network: str, clients: int, seen: Rounds) -> None:
    print(f"\n{network}, {clients} clients; medians, and of each round the ratio to {OFF}\n")
    print(f"| server | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    for name, rounds in seen.items():
        cells = [
            f"{median(getattr(each, field) for each in rounds):.2f} ({ratio(rounds, seen[OFF], field):.3f})"
            for field in COLUMNS.values()
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    run(main)
