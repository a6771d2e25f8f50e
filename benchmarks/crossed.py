"""How many files a reader must open to follow one call, one shard or one step of training.

    python -m benchmarks.crossed classify
    python -m benchmarks.crossed shard
    python -m benchmarks.crossed step

Runs the real program and names each of our files of which code runs meanwhile, in whichever of its processes;
the generated ones of protobuf are left out. What runs once, at the start, is over by then: it is the second
shard, the sixth step, and a call to a server that has answered others.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import grpc

from benchmarks.builds import THIS
from benchmarks.crossings import Between, Crossings
from benchmarks.served import ports_of
from benchmarks.serving_models import photographs, publish_tiny
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub

SHARD: Final = Between("score_shard", "shard.py", 2)
STEP: Final = Between("backward", "torch/_tensor.py", 6)
CALLS_BEFORE: Final = 3
SETTLES_S: Final = 1.0
PATIENCE_S: Final = 60


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crossed", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=WAYS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        crossings = Crossings(Path(scratch) / "crossings")
        WAYS[options.what](crossings, Path(scratch))
        files = crossings.files()
    ours = sorted(file for file in files if "_pb2" not in file)
    processes = len(set().union(*files.values()))
    if not ours:
        sys.exit(f"no file of ours ran: is what `{options.what}` is told apart by still there?")
    print(*ours, f"{len(ours)} files, in {processes} processes", sep="\n")


def cross_classify(crossings: Crossings, work: Path) -> None:
    """A lone Classify of a photograph, on a CPU."""
    publish_tiny(work / "tiny", work / "staging")
    (photograph,) = photographs(1, 500, 375)
    flags = ("--host", "127.0.0.1", *ports_of(THIS))
    quiet = ("--provider", "cpu", "--watch-interval-s", "0", "--access-log-sample", "0")
    command = [sys.executable, "-m", "server", "--models", str(work / "tiny"), *flags, *quiet]
    environment = crossings.environment()
    with subprocess.Popen(
        [*command, "--log-format", "json"], stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            port = next(json.loads(line)["port"] for line in server.stderr or () if '"ready"' in line)
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                classify = ClassifierStub(channel).Classify
                for _ in range(CALLS_BEFORE):
                    classify(pb.ClassifyRequest(image=photograph), timeout=PATIENCE_S)
                time.sleep(SETTLES_S)
                crossings.open()
                classify(pb.ClassifyRequest(image=photograph), timeout=PATIENCE_S)
                crossings.close()
        finally:
            server.terminate()


def cross_shard(crossings: Crossings, work: Path) -> None:
    """A shard of 50 photographs in a folder, the second of three."""
    publish_tiny(work / "tiny", work / "staging")
    _write_photographs(work / "photographs", 150)
    places = (work / "photographs", "--models", work / "tiny", "--output", work / "output")
    _run(crossings, SHARD, "scorer", "run", *places, "--shard-images", "50", "--provider", "cpu")


def cross_step(crossings: Crossings, work: Path) -> None:
    """A step of resnet18 on 64 small photographs, from one backward pass to the next."""
    for number in range(2):
        _write_photographs(work / "photographs" / f"class-{number}", 64)
    places = ("--data", work / "photographs", "--models", work / "model", "--runs", work / "runs")
    network = ("--arch", "resnet18", "--weights", "none", "--size", "32", "--device", "cpu")
    fit = ("--epochs", "1", "--lr", "1e-3", "--batch-size", "8", "--publish-anyway")
    _run(crossings, STEP, "trainer", "train", *places, *network, *fit)


WAYS: Final[dict[str, Callable[[Crossings, Path], None]]] = {
    "classify": cross_classify,
    "shard": cross_shard,
    "step": cross_step,
}


def _run(crossings: Crossings, between: Between, program: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", program, *map(str, arguments)]
    subprocess.run(command, env=crossings.environment(between), check=True, capture_output=True)


def _write_photographs(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for index, data in enumerate(photographs(count, 120, 90)):
        (folder / f"{index:03d}.jpg").write_bytes(data)


if __name__ == "__main__":
    main()
