"""What a shadow costs a server: one without it, and one whose next version answers some images too, in turns.

    python -m benchmarks.shadowing
    python -m benchmarks.shadowing --only resnet34 --percent 10 --seconds 20

Images per CPU second of the server's processes, images a second and the median latency, of a lone caller and
of several, with the ratios to the server without a shadow. The CPU seconds are those of all its processes but
the ones that compute the shadow's answers alone, which `top` calls fovea-spare; with `--all` theirs too. And
what became of the images that were drawn.
"""

import argparse
import re
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import torch

from benchmarks.arguments import positive_float, positive_int
from benchmarks.in_turns import ROUNDS, Contender, print_against, take_turns
from benchmarks.machine import describe_machine
from benchmarks.measuring import write_files
from benchmarks.networks import NETWORKS, Bundles
from benchmarks.processes import run
from benchmarks.served import RunningServer, running_server
from benchmarks.serving_models import photographs
from fovea.cpus import available_cpus

CLIENTS: Final = (1, 2, 16)
OFF: Final = "without a shadow"
ON: Final = "with one"
ALL: Final = "with one, its own CPU too"
SPARE: Final = "fovea-spare"
COLUMNS: Final = {"images per CPU second": "images_cpu_s", "images/s": "images_s", "p50 ms": "p50_ms"}
LOADS_WITHIN_S: Final = 120


def main() -> None:
    options = _parse()
    print(describe_machine(torch.device("cpu"), available_cpus()))
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        work = options.work or Path(scratch)
        images = write_files(work / "small", photographs(32, 500, 375))
        models = _two_versions(Bundles(work, images), options.only)
        plain = stack.enter_context(running_server(models, "--model-version", "1"))
        shadow = ("--shadow", "2", "--shadow-percent", str(options.percent))
        shadowed = stack.enter_context(running_server(models, "--model-version", "1", *shadow))
        shadowed.program.wait_for("a second version is live beside the current one", LOADS_WITHIN_S)
        contenders = [
            Contender(OFF, plain.pid, plain.target),
            Contender(ON, shadowed.pid, shadowed.target, but=SPARE),
        ]
        if options.all:
            contenders.append(Contender(ALL, shadowed.pid, shadowed.target))
        for clients in options.clients:
            before = _outcomes(shadowed)
            seen = take_turns(contenders, images, clients, options.seconds / options.rounds, options.rounds)
            time.sleep(1)  # the last of them
            print(f"\n{options.only}, {clients} callers; medians, and of each round the ratio to {OFF}\n")
            print_against(OFF, seen, COLUMNS)
            became = {each: count - before[each] for each, count in _outcomes(shadowed).items()}
            print("drawn: " + ", ".join(f"{count:.0f} {each}" for each, count in became.items()), flush=True)


def _two_versions(bundles: Bundles, name: str) -> Path:
    """The second is as large, with weights a thousandth larger."""
    models = bundles.of(name)
    if not (models / "2").exists():
        bundles.publish_another(models)
    return models


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shadowing", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--only", choices=sorted(NETWORKS), default="tiny")
    parser.add_argument("--percent", type=positive_float, default=10, help="of the images")
    parser.add_argument("--clients", type=positive_int, nargs="+", default=CLIENTS)
    parser.add_argument("--seconds", type=positive_float, default=15, help="of each measurement")
    parser.add_argument("--rounds", type=positive_int, default=ROUNDS, help="in which servers take turns")
    parser.add_argument("--all", action="store_true", help="measure with the shadow's own CPU seconds too")
    parser.add_argument("--work", type=Path, help="where models and photographs are kept for the next run")
    return parser.parse_args()


def _outcomes(server: RunningServer) -> dict[str, float]:
    with urllib.request.urlopen(server.metrics_url, timeout=60) as page:
        series = re.findall(r'^fovea_shadow_total{outcome="(\w+)"} (\S+)', page.read().decode(), re.MULTILINE)
    return {outcome: float(count) for outcome, count in series}


if __name__ == "__main__":
    run(main)
