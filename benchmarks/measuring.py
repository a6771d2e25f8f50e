"""What a server reaches under load, and at what cost."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.builds import ROOT
from benchmarks.process_tree import cpu_seconds
from benchmarks.processes import output_of
from fovea.errors import Unavailable


@dataclass(frozen=True)
class Served:
    """What the server reached at a number of clients."""

    images_s: float
    images_cpu_s: float
    """Images per CPU second of the server's processes."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    caller_cpu_ms: float
    """CPU milliseconds of the callers' process, for each image."""
    errors: dict[str, int]


def measure(pid: int, target: str, images: Path, clients: int, seconds: float, *flags: str) -> Served:
    """Puts load on the server of that process; `flags` are those of benchmarks.load.

    Raises Unavailable where no image was answered.
    """
    words = [target, str(images.resolve()), str(clients), str(seconds), *flags]
    cpu = cpu_seconds(pid)
    seen: dict[str, Any] = json.loads(
        output_of([sys.executable, "-m", "benchmarks.load", *words], folder=ROOT)
    )
    cpu = cpu_seconds(pid) - cpu
    if not seen["images"]:
        failed = f"calls that failed: {seen['errors']}" if seen["errors"] else "more --seconds are needed"
        raise Unavailable(
            f"{clients} callers had no answer in {seconds:.1f} s to what they sent then: {failed}"
        )
    return Served(
        seen["images"] / seen["seconds"],
        seen["all_images"] / cpu,
        seen["p50_ms"],
        seen["p95_ms"],
        seen["p99_ms"],
        1000 * seen["cpu_s"] / seen["all_images"],
        seen["errors"],
    )


def write_files(folder: Path, files: Sequence[bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(files):
        (folder / f"{index:03d}.jpg").write_bytes(data)
    return folder
