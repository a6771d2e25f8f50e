"""How near the scorer comes to its limits, from an S3 endpoint to the rows.

    python -m benchmarks.scoring
    python -m benchmarks.scoring --model resnet34 --images 400

Images a second of `python -m scorer work`, beside (a) the classifier alone, (b) decoding alone and (c)
fetching alone, each with all cores, and (d) a bare loop of all three, a process a core, which is the limit
where they share the cores. The store is `benchmarks.static_store`, on the same cores. What it takes of them
is printed, and what each image takes of the CPU: on a busy machine that says more than the rates.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import scoring_loops
from benchmarks.machine import describe_machine
from benchmarks.measuring import write_files
from benchmarks.process_tree import cpu_seconds
from benchmarks.processes import run, said_by
from benchmarks.scoring_loops import Measured
from benchmarks.serving_models import photographs, publish_tiny, publish_untrained_resnet34
from benchmarks.static_store import BUCKET, running_store
from fovea.cpus import available_cpus
from fovea.stores.storage import open_folder
from scorer.files import layout
from scorer.files.rows import ShardCounts, ShardFile

PUBLISH = {"tiny": publish_tiny, "resnet34": publish_untrained_resnet34}
DISTINCT = 32
SOURCE = f"s3://{BUCKET}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=PUBLISH, default="tiny")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=4, help="of each limit")
    parser.add_argument("--rounds", type=int, default=3, help="in which all are measured in turn")
    options = parser.parse_args()
    print(describe_machine(torch.device("cpu"), available_cpus()), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        write_files(work / "photographs", photographs(DISTINCT, 500, 375))
        PUBLISH[options.model](work / "models", work / "staging")
        with running_store(work / "photographs", options.images) as store:
            os.environ.update(store.environment)
            _compare(options, work, store.pid)


def _compare(options: argparse.Namespace, work: Path, store_pid: int) -> None:
    cores = available_cpus()

    def loop(kind: str, processes: int) -> Callable[[], Measured]:
        images = min(options.images, 1000)
        return lambda: scoring_loops.run(kind, work / "models", SOURCE, images, options.seconds, processes)

    night = Night(work / "models", work / "output", store_pid)
    measures = {
        "(a) the classifier alone": loop("classify", cores),
        "(b) decoding alone": loop("decode", cores),
        "(c) fetching alone": loop("fetch", 1),
        "(d) a bare loop of all three": loop("all", cores),
        "`python -m scorer work`": night.score,
    }
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(options.rounds)]
    _print(rounds)
    print(f"\nThe store took {statistics.median(night.store_cores):.2f} cores while the scorer ran.")
    print(f"The scorer: {night.log}")


class Night:
    """Runs of the real program, each on a plan of its own."""

    def __init__(self, models: Path, output: Path, store_pid: int, provider: str = "cpu") -> None:
        self._models, self._output, self._store_pid = models, output, store_pid
        self._provider = provider
        self._runs = 0
        self.store_cores: list[float] = []
        self.log = ""
        """The last shard's line."""

    def score(self) -> Measured:
        counts = self.run()
        images = sum(counts.statuses.values())
        return Measured(images / counts.elapsed_s, images / counts.stages["cpu"].busy_s)

    def run(self) -> ShardCounts:
        """One night, of which every image is scored."""
        self._runs += 1
        night = ("--output", str(self._output), "--run-id", f"night-{self._runs}")
        _scorer("plan", SOURCE, "--models", str(self._models), *night, "--shard-images", "1000000")
        started, store_s = time.perf_counter(), cpu_seconds(self._store_pid)
        self.log = _scorer("work", *night, "--provider", self._provider).splitlines()[-1]
        seconds = time.perf_counter() - started
        self.store_cores.append((cpu_seconds(self._store_pid) - store_s) / seconds)
        counts = self._counts()
        images = sum(counts.statuses.values())
        assert counts.statuses == {"ok": images}, counts.statuses
        return counts

    def _counts(self) -> ShardCounts:
        path = f"{layout.run_folder(f'night-{self._runs}')}/{layout.shard_file(0)}"
        return ShardFile.open(open_folder(str(self._output)).read(path), path).counts


def _scorer(*arguments: str) -> str:
    return said_by([sys.executable, "-m", "scorer", *arguments, "--log-format", "json"])


def _print(rounds: list[dict[str, Measured]]) -> None:
    print(f"\nMedians of {len(rounds)} rounds:\n")
    print("| | images/s | images per CPU second |\n|---|---:|---:|")
    for name in rounds[0]:
        images_s = statistics.median(each[name].images_s for each in rounds)
        images_cpu_s = statistics.median(each[name].images_cpu_s for each in rounds)
        print(f"| {name} | {images_s:,.1f} | {images_cpu_s:,.1f} |")
    *limits, bare, scorer = rounds[0]
    for title, shares in {
        "the slowest of (a), (b), (c)": [
            each[scorer].images_s / min(each[name].images_s for name in limits) for each in rounds
        ],
        "(d)": [each[scorer].images_s / each[bare].images_s for each in rounds],
        "(d), by CPU time": [each[scorer].images_cpu_s / each[bare].images_cpu_s for each in rounds],
    }.items():
        listed = ", ".join(f"{share:.2f}" for share in shares)
        print(f"\nThe scorer against {title}: {statistics.median(shares):.2f} ({listed})", end="")
    print()


if __name__ == "__main__":
    run(main)
