"""The embedded data set: scikit-learn's 1,797 real handwritten digits (UCI, 8 x 8 pixels), as PNG files."""

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fovea.errors import Unavailable

SIDE = 32
"""The files' side in pixels; 8 x 8 is enlarged, so that the files can be looked at."""


def write_digits(folder: Path) -> Path:
    """Writes `folder`/{train,val}/LABEL/*.png unless they are there; always the same split, 20 % held out.

    Returns `folder`. Raises Unavailable when it cannot be written.
    """
    write_whole(folder, _write_files)
    return folder


def write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Makes `folder` of what `write` puts into an empty one, unless it is there; it appears whole.

    Raises Unavailable when it cannot be written.
    """
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            write(partial)
            partial.chmod(0o755)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        if not folder.is_dir():  # else somebody else wrote the same files meanwhile
            raise Unavailable(f"{folder}: cannot be written: {error.strerror}") from error


def _write_files(folder: Path) -> None:
    from sklearn.datasets import load_digits  # takes a second to import; other data need not pay it

    digits = load_digits()
    for label in range(10):
        indices = [int(index) for index in np.flatnonzero(digits.target == label)]
        random.Random(label).shuffle(indices)
        held_out = round(len(indices) * 0.2)
        for part, members in (("val", indices[:held_out]), ("train", indices[held_out:])):
            target = folder / part / str(label)
            target.mkdir(parents=True)
            for index in members:
                pixels = (digits.images[index] * (255 / 16)).round().astype(np.uint8)
                picture = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
                picture.save(target / f"{index:04d}.png")
