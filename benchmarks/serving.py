"""How near the server comes to its limits, on a tiny network and on resnet34.

    python -m benchmarks.serving
    python -m benchmarks.serving --only tiny --seconds 20 --work .benchmarks
    python -m benchmarks.serving --peer triton mosec litserve --build .builds/d1804b7
    python -m benchmarks.serving --model network.onnx --peer mosec

Images a second, latency and images per server CPU second at 1, 16 and 64 clients, beside two limits of the
same run: (i) `fovea.images` and `Classifier` in a loop without a server, (ii) a loop of Pillow and
onnxruntime that shares no code with the project. On resnet34, where the model is the limit, (i) is the best
of a sweep over processes, threads and batch sizes.

With `--peer` or `--build`, other servers instead, or another checkout of this project: the same bundle,
images and load, in turns in one run (see `benchmarks.in_turns`), on a network that does next to nothing, on
the tiny one and on resnet34, or on any ONNX file that takes uint8 NHWC.
"""

import argparse
import re
import tempfile
from pathlib import Path

import torch

from benchmarks import bare_loops
from benchmarks.arguments import positive_float, positive_int
from benchmarks.bare_loops import Limit
from benchmarks.builds import THIS, other_build
from benchmarks.in_turns import (
    CLIENTS,
    PEERS,
    ROUNDS,
    check_environments,
    compare,
    name_of,
    running_contenders,
)
from benchmarks.machine import describe_machine
from benchmarks.measuring import Served, measure, write_files
from benchmarks.networks import NETWORKS, Bundles
from benchmarks.processes import run
from benchmarks.served import running_server
from benchmarks.serving_models import photographs, publish_resnet34, publish_tiny
from benchmarks.table import doors
from benchmarks.table.rows import print_rows
from fovea.cpus import available_cpus


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["pool", "tiny", "large", "resnet34", "int8"])
    parser.add_argument("--model", type=Path, help="an ONNX file that takes uint8 [batch, S, S, 3] instead")
    parser.add_argument("--peer", choices=PEERS, nargs="+", default=[], help="compare with these servers")
    parser.add_argument("--build", type=Path, help="compare with this checkout of the project")
    parser.add_argument(
        "--seconds", type=positive_float, default=10, help="of each measurement, all rounds together"
    )
    parser.add_argument("--rounds", type=positive_int, default=ROUNDS, help="in which servers take turns")
    parser.add_argument("--work", type=Path, help="where models and photographs are kept for the next run")
    options = parser.parse_args()
    print(describe_machine(torch.device("cpu"), available_cpus()))
    with tempfile.TemporaryDirectory() as scratch:
        bench = _Bench(options.work or Path(scratch), options.seconds)
        if options.peer or options.build:
            bench.against_servers(options)
        elif options.model:
            bench.foreign(options.model)
        else:
            for name in ("tiny", "large", "resnet34", "int8"):
                if options.only in (None, name):
                    getattr(bench, name)()


class _Bench:
    def __init__(self, work: Path, seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._small = write_files(work / "small", photographs(32, 500, 375))
        self._large = work / "large"

    def against_servers(self, options: argparse.Namespace) -> None:
        """In turns, on one bundle that all of them read."""
        check_environments(options.peer)
        builds = [other_build(options.build), THIS] if options.build else [THIS]
        bundles = Bundles(self._work, self._small, builds[0])
        names = [options.only] if options.only else list(NETWORKS)
        for models in [bundles.of_file(options.model)] if options.model else map(bundles.of, names):
            print(f"\n{models.name}\n")
            with running_contenders(models, self._small, options.peer, builds) as contenders:
                seen = compare(contenders, self._small, self._seconds, options.rounds)
            if models.name == "tiny":
                print_rows(doors.rows(seen, name_of(builds[0])))

    def foreign(self, file: Path) -> None:
        """A network that is not ours."""
        self._against_loops(file.name, self._small, Bundles(self._work, self._small).of_file(file))

    def tiny(self) -> None:
        """The server's own work dominates."""
        self._against_loops("tiny network, JPEG 500 x 375", self._small, self._tiny_models())

    def large(self) -> None:
        """Photographs as cameras take them."""
        write_files(self._large, photographs(8, 4000, 3000))
        self._against_loops("tiny network, JPEG 4000 x 3000", self._large, self._tiny_models())

    def resnet34(self) -> None:
        """The model dominates, on all cores."""
        best, lone = self._resnet34_limits("fp32")
        served = self._serve(self._resnet34_models(), self._small)
        _table("resnet34 fp32", served)
        print(f"server / best bare loop: {_best(served) / best.images_s:.3f}")
        print(f"lone p50 / bare on all cores: {served[1].p50_ms / lone.p50_ms:.3f}")
        print(f"p99 / p50 at 16 clients: {served[16].p99_ms / served[16].p50_ms:.2f}\n")

    def int8(self) -> None:
        """The precision that `auto` finds, against the limit of fp32."""
        best, _ = self._resnet34_limits("fp32")
        served = self._serve(self._resnet34_models(), self._small, "--precision", "auto")
        _table("resnet34, --precision auto", served)
        print(f"server / best bare loop of fp32: {_best(served) / best.images_s:.2f}\n")

    def _against_loops(self, title: str, images: Path, models: Path) -> None:
        before = self._loops(models, images)
        served = self._serve(models, images)
        after = self._loops(models, images)
        (fovea, pillow), (fovea_after, pillow_after) = before, after
        _table(title, served)
        best = max(each.images_cpu_s for each in served.values())
        loop = (fovea.images_cpu_s + fovea_after.images_cpu_s) / 2
        other = (pillow.images_cpu_s + pillow_after.images_cpu_s) / 2
        bare_ms = (pillow.p50_ms + pillow_after.p50_ms) / 2
        print(f"images per CPU second: (i) {loop:.0f}, (ii) {other:.0f}, server {best:.0f}")
        print(f"server / (i): {best / loop:.3f}; server / (ii): {best / other:.3f}")
        print(f"lone p50 / bare latency of (ii), {bare_ms:.2f} ms: {served[1].p50_ms / bare_ms:.2f}\n")

    def _loops(self, models: Path, images: Path) -> tuple[Limit, Limit]:
        seconds = self._seconds / 2
        return bare_loops.run("fovea", models, images, seconds), bare_loops.run(
            "pillow", models, images, seconds
        )

    def _tiny_models(self) -> Path:
        models = self._work / "models" / "tiny"
        if not models.exists():
            publish_tiny(models, self._work / "staging")
        return models

    def _resnet34_models(self) -> Path:
        models = self._work / "models" / "resnet34"
        if not models.exists():
            publish_resnet34(models, self._work / "training")
        return models

    def _resnet34_limits(self, precision: str) -> tuple[Limit, Limit]:
        """The best throughput of the sweep, and the lone latency on all cores."""
        models, cores = self._resnet34_models(), available_cpus()
        limits = []
        for processes, threads, batch in ((cores, 1, 1), (cores, 1, 4), (1, cores, 1), (1, cores, 8)):
            flags = ("--threads", str(threads), "--batch", str(batch), "--precision", precision)
            limit = bare_loops.run("fovea", models, self._small, self._seconds, *flags, processes=processes)
            shape = f"{processes} x {threads} threads, batch {batch}"
            print(f"bare {precision}, {shape}: {limit.images_s:.1f} images/s")
            limits.append(limit)
        alone = ("--threads", str(cores), "--spinning", "--precision", precision)
        lone = bare_loops.run("fovea", models, self._small, self._seconds, *alone)
        print(
            f"bare {precision}, lone image on all cores: {lone.images_s:.1f} images/s, {lone.p50_ms:.1f} ms"
        )
        return max([*limits, lone], key=lambda limit: limit.images_s), lone

    def _serve(self, models: Path, images: Path, *flags: str) -> dict[int, Served]:
        with running_server(models, *flags) as server:
            return {
                clients: measure(server.pid, server.target, images, clients, self._seconds)
                for clients in CLIENTS
            }


def _best(served: dict[int, Served]) -> float:
    return max(each.images_s for each in served.values())


def _table(title: str, served: dict[int, Served]) -> None:
    print(f"\n{re.sub('^.', lambda first: first[0].upper(), title)}\n")
    print("| clients | images/s | p50 ms | p95 ms | p99 ms | images per server CPU second | errors |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for clients, seen in served.items():
        latencies = f"{seen.p50_ms:.2f} | {seen.p95_ms:.2f} | {seen.p99_ms:.2f}"
        errors = sum(seen.errors.values())
        print(f"| {clients} | {seen.images_s:.1f} | {latencies} | {seen.images_cpu_s:.1f} | {errors} |")
    print(flush=True)


if __name__ == "__main__":
    run(main)
