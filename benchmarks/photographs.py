"""Folders of JPEG files that cost as much to decode as photographs, made on the spot."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image


def write_photographs(folder: Path, count: int, classes: int, width: int, height: int) -> Path:
    """`count` files in `folder`/train and a tenth as many in `folder`/val, evenly over the classes.

    Nothing is written when they are there already.
    """
    for part, images in (("train", count), ("val", max(classes, count // 10))):
        mark = folder / part / "complete"
        if mark.exists():
            continue
        for label in range(classes):
            (folder / part / f"class-{label:02}").mkdir(parents=True, exist_ok=True)
        tasks = [
            (folder / part / f"class-{number % classes:02}" / f"{number:06}.jpg", width, height)
            for number in range(images)
        ]
        with ProcessPoolExecutor() as pool:
            list(pool.map(_write, tasks, chunksize=64))
        mark.touch()
    return folder


def _write(task: tuple[Path, int, int]) -> None:
    """Large shapes, small ones, and the grain of a sensor: about as many bytes as a photograph has."""
    path, width, height = task
    generator = np.random.default_rng(abs(hash(path.name)) % 2**32)
    pixels = np.zeros((height, width, 3))
    for cells, amplitude in ((4, 90), (16, 40), (64, 20)):
        coarse = generator.normal(0, amplitude, (cells, cells, 3)).astype(np.float32)
        layers = [
            np.asarray(
                Image.fromarray(coarse[:, :, channel]).resize((width, height), Image.Resampling.BICUBIC)
            )
            for channel in range(3)
        ]
        pixels += np.stack(layers, 2)
    pixels += 128 + generator.normal(0, 6, pixels.shape)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
