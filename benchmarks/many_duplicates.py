"""How long a hundred thousand pictures take to be compared for near duplicates, and how much memory.

    python -m benchmarks.many_duplicates --photographs FOLDER

Of one thread, for all that an audit does to find them, and to see how sharp each is: of cuttings of
photographs, of 128 pixels, and of a crowd, pictures that are all alike: changed digits of 24 pixels. The
decoded pictures are a file that is mapped, as the trainer's cache is, and not in the memory that is told.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from benchmarks.arguments import positive_int
from benchmarks.duplicates import DIGITS, photographs
from fovea.images.preprocess import Pixels
from trainer.images.digits import SIDE
from trainer.images.field import Field, Pictures
from trainer.images.near_duplicates import find_near_duplicates

CUTTING: Final = 128
"""Pixels a side of what is cut out of photographs."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_duplicates", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--photographs", type=Path, help="a folder of different ones, JPEG or PNG")
    parser.add_argument("--images", type=positive_int, default=100_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        crops, targets = crowd(options.images)
        print("digits:", compared(mapped(crops, Path(scratch)), targets, mirrored=False), flush=True)
        del crops
        cut, targets = cuttings(options.images, options.photographs, Path(scratch))
        print("cuttings:", compared(cut, targets, mirrored=True), flush=True)


def compared(crops: Pixels, targets: npt.NDArray[np.int64], mirrored: bool) -> str:
    pictures, ended = Pictures([Field(crops, np.arange(len(crops)))]), threading.Event()
    before, most = anonymous_mb(), [0.0]

    def watch() -> None:
        while not ended.wait(0.1):
            most[0] = max(most[0], anonymous_mb() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.process_time()
    pairs = find_near_duplicates(pictures, targets, crops.shape[1], mirrored)
    found = time.process_time() - started
    pictures.fields[0].sharpness()
    seconds = time.process_time() - started
    ended.set()
    watcher.join()
    return (
        f"{len(pairs):,} pairs among {len(crops):,} of {crops.shape[1]} pixels in {found:.1f} s, "
        f"{seconds:.1f} s with their sharpness; {most[0]:.0f} MB more than before at most"
    )


def anonymous_mb() -> float:
    """Memory of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def mapped(crops: Pixels, scratch: Path) -> Pixels:
    np.save(scratch / "crops.npy", crops)
    return np.asarray(np.load(scratch / "crops.npy", mmap_mode="r"))


def cuttings(count: int, folder: Path | None, scratch: Path) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """uint8 [n, 128, 128, 3] and the photograph that each is of: a quarter to a half of its shorter side."""
    chance, shots = np.random.default_rng(0), photographs(folder)
    shape = (count, CUTTING, CUTTING, 3)
    crops = np.lib.format.open_memmap(scratch / "cut.npy", "w+", np.uint8, shape)
    targets = np.sort(np.arange(count) % len(shots))
    for number, of in enumerate(targets):
        image = shots[of].image
        side = int(min(image.size) * chance.uniform(0.25, 0.5))
        left, top = (int(chance.integers(0, length - side + 1)) for length in image.size)
        box = (left, top, left + side, top + side)
        crops[number] = np.asarray(image.resize((CUTTING, CUTTING), Image.Resampling.BILINEAR, box))
    return crops, targets


def crowd(count: int) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """uint8 [n, 24, 24, 3] and the classes of digits that are each turned by up to 11 degrees, made up to a
    tenth larger or smaller along each axis, moved by up to a twentieth, and darkened by up to 30 %."""
    given, chance = load_digits(), torch.Generator().manual_seed(0)
    large = torch.from_numpy(given.images).float()[:, None] * (255 / 16)
    large = F.interpolate(large, (SIDE, SIDE), mode="bicubic", align_corners=False).clamp(0, 255)
    which = torch.arange(count) % len(large)
    batches = [_changed(large[which[start : start + 2000]], chance) for start in range(0, count, 2000)]
    crops = np.broadcast_to(np.concatenate(batches)[..., None], (count, DIGITS.size, DIGITS.size, 3))
    return np.ascontiguousarray(crops), given.target[which.numpy()]


def _changed(pictures: Tensor, chance: torch.Generator) -> npt.NDArray[np.uint8]:
    def drawn(low: float, high: float) -> Tensor:
        return torch.rand(len(pictures), generator=chance) * (high - low) + low

    angle, across, down = drawn(-0.2, 0.2), drawn(0.9, 1.1), drawn(0.9, 1.1)
    first = torch.stack([angle.cos() * across, -angle.sin() * across, drawn(-0.1, 0.1)], 1)
    second = torch.stack([angle.sin() * down, angle.cos() * down, drawn(-0.1, 0.1)], 1)
    shape = [len(pictures), 1, DIGITS.size, DIGITS.size]
    grid = F.affine_grid(torch.stack([first, second], 1), shape, align_corners=False)
    changed = F.grid_sample(pictures, grid, align_corners=False) * drawn(0.7, 1.0)[:, None, None, None]
    pixels: npt.NDArray[np.uint8] = changed.round().clamp(0, 255).byte().numpy()[:, 0]
    return pixels


if __name__ == "__main__":
    main()
