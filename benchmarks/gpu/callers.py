"""Load from several processes: one alone would be at its end before a GPU is."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.process_tree import cpu_seconds
from benchmarks.served import RunningServer

CALLERS_A_PROCESS: Final = 32


@dataclass(frozen=True)
class Answered:
    """What all callers saw together."""

    images_s: float
    p50_ms: float
    """the median of the processes' own"""
    p99_ms: float
    """of the process that waited longest"""
    images_cpu_s: float
    """images per CPU second of the server's processes"""
    errors: int

    def values(self) -> dict[str, float | int | str]:
        """As a row has them."""
        return {
            "images/s": self.images_s,
            "p50 ms": self.p50_ms,
            "p99 ms": self.p99_ms,
            "images/CPU s": self.images_cpu_s,
            "errors": self.errors,
        }


def call(server: RunningServer, photographs: Path, callers: int, seconds: float) -> Answered:
    """So many callers, each with one image under way; after a second of warm-up."""
    processes = -(-callers // CALLERS_A_PROCESS)
    shares = [callers // processes + (index < callers % processes) for index in range(processes)]
    cpu_s = cpu_seconds(server.pid)
    load = [sys.executable, "-m", "benchmarks.load", server.target, str(photographs)]
    started = [
        subprocess.Popen([*load, str(share), str(seconds)], stdout=subprocess.PIPE) for share in shares
    ]
    seen = [json.loads(process.communicate()[0]) for process in started]
    cpu_s = cpu_seconds(server.pid) - cpu_s
    return Answered(
        sum(each["images"] / each["seconds"] for each in seen),
        median(each["p50_ms"] for each in seen),
        max(each["p99_ms"] for each in seen),
        sum(each["all_images"] for each in seen) / max(cpu_s, 0.01),
        sum(sum(each["errors"].values()) for each in seen),
    )
