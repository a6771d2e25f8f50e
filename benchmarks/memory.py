"""How much memory a whole training takes as the images become many.

    python -m benchmarks.memory
    python -m benchmarks.memory --images 1000 100000

Runs `python -m trainer train` as a process of its own and watches it. Anonymous memory is what the process
needs; file-backed memory is the image cache as far as the kernel keeps it at hand, and goes when others need
the room. The network is a small one: how many images there are does not change what a larger one takes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.machine import describe_machine
from benchmarks.photographs import write_photographs
from fovea.cpus import available_cpus

CLASSES = 10
DISTINCT = 1000
WATCH_EVERY_S = 0.1
OPTIONS = (
    *("--arch", "shufflenet_v2_x0_5", "--weights", "none", "--size", "64", "--batch-size", "64"),
    *("--lr", "1e-3", "--epochs", "1", "--device", "cpu", "--publish-anyway"),
)


@dataclass(frozen=True)
class Peak:
    """The largest values seen, in MB, each at its own moment."""

    anonymous: float
    file_backed: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options = parser.parse_args()
    print(describe_machine(torch.device("cpu"), available_cpus()))
    print("\n| images | cache on disk | anonymous memory | file-backed memory | the whole job |")
    print("|---:|---:|---:|---:|---:|")
    for images in options.images:
        with tempfile.TemporaryDirectory() as work:
            print(_measure(images, Path(work)), flush=True)


def _measure(images: int, work: Path) -> str:
    """A row of the table."""
    folder = _write_images(images, work)
    started = time.monotonic()
    places = {"data": folder, "models": work / "models", "runs": work / "runs", "cache-dir": work / "cache"}
    flags = [word for name, place in places.items() for word in (f"--{name}", str(place))]
    peak = _watch([sys.executable, "-m", "trainer", "train", *flags, *OPTIONS])
    seconds = time.monotonic() - started
    cache = sum(file.stat().st_size for file in (work / "cache" / "pixels").iterdir()) / 1e6
    cells = [
        f"{cache:,.0f} MB",
        f"{peak.anonymous:,.0f} MB",
        f"{peak.file_backed:,.0f} MB",
        f"{seconds:.0f} s",
    ]
    return f"| {images:,} | {' | '.join(cells)} |"


def _write_images(count: int, work: Path) -> Path:
    """Small photographs, of which 1,000 are drawn; the others are copies with a number behind the picture, so
    that no two files are equal."""
    drawn = write_photographs(work / "drawn", min(count, DISTINCT), CLASSES, 160, 120)
    pictures = sorted(drawn.glob("train/*/*.jpg"))
    for number in range(count):
        picture = pictures[number % len(pictures)]
        folder = work / "images" / picture.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06}.jpg").write_bytes(picture.read_bytes() + str(number).encode())
    return work / "images"


def _watch(command: list[str]) -> Peak:
    """Runs the command to its end."""
    anonymous = file_backed = 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            status = _status(process.pid)
            anonymous = max(anonymous, _megabytes(status, "RssAnon"))
            file_backed = max(file_backed, _megabytes(status, "RssFile"))
            time.sleep(WATCH_EVERY_S)
        if process.returncode != 0:
            sys.exit(f"the training ended with {process.returncode}")
    return Peak(anonymous, file_backed)


def _status(pid: int) -> dict[str, str]:
    """What the kernel says of a process; nothing when it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value for name, _, value in (line.partition(":") for line in lines)}


def _megabytes(status: dict[str, str], name: str) -> float:
    return int(status.get(name, "0 kB").split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main()
