"""CPU time to decode an image file with the extension that resizes, and with Pillow in its place.

    python -m benchmarks.decoding

Two processes take turns, round after round; a figure is the median over the rounds, and so is the ratio.
Beside an earlier commit `python -m benchmarks.table --only decoding` measures it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import torch

from benchmarks.builds import ROOT
from benchmarks.machine import describe_machine
from benchmarks.table.decoding import KINDS, write_kinds
from fovea.images.preprocess import is_built
from fovea.images.spec import Interpolation

FILTERS: Final[tuple[Interpolation, ...]] = ("bilinear", "bicubic", "lanczos")
DECODE: Final = """
import sys, time
from pathlib import Path
if sys.argv[1] == "Pillow":
    sys.modules["fovea.images._resize"] = None  # cannot be imported
from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec
from fovea.malloc import return_large_blocks

return_large_blocks()  # as the server and the scorer do
for line in sys.stdin:
    interpolation, folder = line.split(maxsplit=1)
    spec = PreprocessSpec(size=224, resize=256, interpolation=interpolation)
    files = [path.read_bytes() for path in sorted(Path(folder.strip()).iterdir())]
    decode_image(files[0], spec)
    began = time.process_time()
    for data in files:
        decode_image(data, spec)
    print(1e3 * (time.process_time() - began) / len(files), flush=True)
"""


class Side:
    """A process that decodes the files of a folder, and tells what one took."""

    def __init__(self, resizes: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-P", "-c", DECODE, resizes]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def decode_ms(self, folder: Path, interpolation: Interpolation) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(interpolation, folder, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decoding", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    if not is_built():
        raise SystemExit("the extension was not built here: pip install -e .")
    print(describe_machine(torch.device("cpu"), 1))
    print("\n| files | filter | Pillow, ms | the extension, ms | ratio |\n|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        folder = write_kinds(Path(work))
        sides = [stack.enter_context(Side(name)) for name in ("Pillow", "the extension")]
        for kind, (name, _) in KINDS.items():
            for interpolation in FILTERS:
                cells = _cells([_round(sides, folder / kind, interpolation, turn) for turn in range(rounds)])
                print(f"| {name} | {interpolation} | {cells} |", flush=True)


def _round(sides: list[Side], folder: Path, interpolation: Interpolation, turn: int) -> list[float]:
    """What each took, the other first each time."""
    order = sides if turn % 2 else sides[::-1]
    taken = {side: side.decode_ms(folder, interpolation) for side in order}
    return [taken[side] for side in sides]


def _cells(rounds: list[list[float]]) -> str:
    pillow, extension = (statistics.median(side) for side in zip(*rounds, strict=True))
    ratio = statistics.median(own / other for other, own in rounds)
    return f"{pillow:.2f} | {extension:.2f} | {ratio:.2f}"


if __name__ == "__main__":
    main()
