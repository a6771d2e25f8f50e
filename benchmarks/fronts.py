"""What several fronts cost and bring, beside one, where computing costs nothing.

    python -m benchmarks.fronts [--fronts 1 2] [--seconds 8] [--rounds 3]

A stand-in engine answers at once, so a call is all but the computing: gRPC, admission, queue, and with
several fronts the way to the server and back. The callers are h2load (of nghttp2-client), which costs little;
what it takes of the cores is counted apart. The servers take turns.
"""

import argparse
import json
import re
import resource
import shutil
import struct
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import processes
from benchmarks.arguments import positive_float, positive_int
from benchmarks.builds import THIS
from benchmarks.process_tree import cpu_seconds
from benchmarks.processes import running
from benchmarks.served import LOG, ports_of
from benchmarks.serving_models import photographs, publish_tiny
from fovea.cpus import available_cpus, processor_name
from fovea.errors import Unavailable
from fovea.v1 import classify_pb2 as pb

CONNECTIONS: Final = 16
CALLS_OF_A_CONNECTION: Final = 4
WARM_UP_S: Final = 2.0
CALL: Final = "/fovea.v1.Classifier/Classify"


@dataclass(frozen=True)
class Seen:
    """Of one server under load."""

    calls_s: float
    server_cores: float
    """That its processes had, on average."""
    callers_cores: float
    call_ms: float
    """CPU of all its processes."""

    def on(self, cores: int, fronts: int) -> float:
        """Calls a second if the callers were elsewhere: one process has one core, several have all."""
        return self.calls_s * (1.0 if fronts == 1 else cores / (cores - self.callers_cores))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fronts", description=__doc__.splitlines()[0])
    parser.add_argument("--fronts", type=positive_int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=positive_float, default=8)
    parser.add_argument("--rounds", type=positive_int, default=3)
    options = parser.parse_args()
    if shutil.which("h2load") is None:
        raise Unavailable("h2load is not there: install nghttp2-client")
    seen: dict[int, list[Seen]] = {fronts: [] for fronts in options.fronts}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        publish_tiny(work / "tiny", work / "staging")
        (photograph,) = photographs(1, 500, 375)
        message = pb.ClassifyRequest(image=photograph).SerializeToString()
        (work / "call").write_bytes(struct.pack(">BI", 0, len(message)) + message)
        for _ in range(options.rounds):
            for fronts in options.fronts:
                seen[fronts].append(measured(work, fronts, options.seconds))
    print("\n".join(table(seen)))


def measured(work: Path, fronts: int, seconds: float) -> Seen:
    flags = ("--models", str(work / "tiny"), "--host", "127.0.0.1", "--fronts", str(fronts))
    with running(
        THIS.command("benchmarks.standin_server", *flags, *ports_of(THIS), *LOG), folder=THIS.folder
    ) as program:
        ready = json.loads(program.wait_for('"ready"'))
        port = int(ready["port"])
        _load(work / "call", port, WARM_UP_S)
        cpu_s, callers_s, started = cpu_seconds(program.pid), _children_s(), time.perf_counter()
        calls = _load(work / "call", port, seconds)
        took_s = time.perf_counter() - started
        cpu_s, callers_s = cpu_seconds(program.pid) - cpu_s, _children_s() - callers_s
        if failed := failures(int(ready["metrics_port"])):
            raise Unavailable(f"calls failed: {failed}")
    return Seen(calls / took_s, cpu_s / took_s, callers_s / took_s, 1000 * cpu_s / calls)


def table(seen: Mapping[int, Sequence[Seen]]) -> list[str]:
    cores = available_cpus()
    lines = [
        f"{processor_name()}, {cores} cores; medians",
        "",
        "| fronts | CPU ms a call | calls/s | server's cores | callers' cores | calls/s, callers elsewhere |",
        "|---|---|---|---|---|---|",
    ]
    for fronts, all_seen in seen.items():
        figures = [
            (one.call_ms, one.calls_s, one.server_cores, one.callers_cores, one.on(cores, fronts))
            for one in all_seen
        ]
        call_ms, calls_s, server, callers, alone = map(median, zip(*figures, strict=True))
        lines.append(
            f"| {fronts} | {call_ms:.3f} | {calls_s:,.0f} | {server:.2f} | {callers:.2f} | {alone:,.0f} |"
        )
    return lines


def failures(metrics_port: int) -> dict[str, int]:
    """Calls by the codes that they failed with, as the server counts them; without those that h2load left.

    To h2load any answer is a good one.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=60) as page:
        counts = re.findall(
            r'^fovea_requests_total{code="(\w+)",[^}]*} (\S+)$', page.read().decode(), re.MULTILINE
        )
    failed: Counter[str] = Counter()
    for code, count in counts:
        failed[code] += int(float(count))
    return {code: count for code, count in failed.items() if count and code not in ("OK", "CANCELLED")}


def _load(call: Path, port: int, seconds: float) -> int:
    """Calls that were answered, whatever with. Raises Unavailable where none was."""
    command = [
        *("h2load", "--clients", str(CONNECTIONS), "--max-concurrent-streams", str(CALLS_OF_A_CONNECTION)),
        *("--duration", str(max(1, round(seconds))), "--data", str(call), "--log-file", "/dev/null"),
        *("--header", "content-type: application/grpc", "--header", "te: trailers"),
        f"http://127.0.0.1:{port}{CALL}",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    words = next((line for line in said.splitlines() if line.startswith("requests:")), "").split()
    counts = {name.rstrip(","): int(count) for count, name in zip(words[1::2], words[2::2], strict=False)}
    if not counts.get("succeeded"):
        raise Unavailable(f"no call was answered: {said}")
    return counts["succeeded"]


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    processes.run(main)
