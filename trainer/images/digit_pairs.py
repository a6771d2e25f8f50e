"""The embedded multi-label data set: two of the real digits side by side, labelled by which are there.

Their truth is known, and each digit looks as somebody wrote it. Some pictures have one digit alone.
"""

import csv
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from trainer.images.digits import write_whole

TABLE: Final = "labels.csv"
SIDE: Final = 48
"""The files' side in pixels, of which a digit fills half."""
ALONE: Final = 0.1
"""Share of the pictures that have one digit."""
TIMES: Final = 2
"""How often each digit is in a picture on the left; on the right others of the same part stand."""


def write_pairs(digits: Path, folder: Path) -> Path:
    """Writes `folder`/labels.csv and its pictures unless they are there, of those that `write_digits` wrote:
    always the same. A digit that is held out stands in held-out pictures alone.

    Returns the table. Raises Unavailable when it cannot be written.
    """
    write_whole(folder, partial(_write_table, digits))
    return folder / TABLE


def _write_table(digits: Path, folder: Path) -> None:
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["path", "labels", "split"])
        for part in ("train", "val"):
            (folder / part).mkdir()
            for number, (picture, labels) in enumerate(_pictures(digits / part, random.Random(part))):
                name = f"{part}/{number:04d}.png"
                picture.save(folder / name)
                rows.writerow([name, ";".join(sorted(labels)), part])


def _pictures(digits: Path, chance: random.Random) -> Iterator[tuple[Image.Image, set[str]]]:
    files = [file for _ in range(TIMES) for file in sorted(digits.glob("*/*.png"))]
    others = files.copy()
    chance.shuffle(others)
    for left, right in zip(files, others, strict=True):
        shown = [left, right]
        if chance.random() < ALONE:
            shown[chance.randrange(2)] = None  # type: ignore[call-overload]
        canvas = Image.fromarray(np.zeros((SIDE, SIDE), np.uint8))
        for place, file in enumerate(shown):
            if file is not None:
                digit = Image.open(file).resize((SIDE // 2, SIDE // 2), Image.Resampling.BICUBIC)
                canvas.paste(digit, (place * SIDE // 2, chance.randrange(SIDE // 2 + 1)))
        yield canvas, {file.parent.name for file in shown if file is not None}
