"""What a server reaches under load, and at what cost."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process_tree import cpu_seconds


@dataclass(frozen=True)
class Served:
    """What the server reached at a number of clients."""

    images_s: float
    images_cpu_s: float
    """Images per CPU second of the server's processes."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: dict[str, int]


def measure(pid: int, target: str, images: Path, clients: int, seconds: float, *flags: str) -> Served:
    """Puts load on the server of that process; `flags` are those of benchmarks.load."""
    words = [target, str(images), str(clients), str(seconds), *flags]
    cpu = cpu_seconds(pid)
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", *words], capture_output=True, check=True
    ).stdout
    cpu = cpu_seconds(pid) - cpu
    seen: dict[str, Any] = json.loads(output)
    return Served(
        seen["images"] / seen["seconds"],
        seen["all_images"] / cpu,
        seen["p50_ms"],
        seen["p95_ms"],
        seen["p99_ms"],
        seen["errors"],
    )


def write_files(folder: Path, files: Sequence[bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(files):
        (folder / f"{index:03d}.jpg").write_bytes(data)
    return folder
