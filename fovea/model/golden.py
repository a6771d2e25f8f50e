"""Held-out images with the answers that a model must give wherever it is loaded."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fovea.errors import BundleInvalid
from fovea.images.preprocess import Pixels

GOLDEN_FILE: Final = "golden.npz"
GOLDEN_FOLDER: Final = "golden"


@dataclass(frozen=True)
class Golden:
    """Held-out images with the answers that the model must give, here and wherever it is loaded."""

    files: tuple[bytes, ...]
    crops: Pixels
    """uint8 [n, S, S, 3]"""
    probabilities: npt.NDArray[np.float32]
    """[n, classes]"""

    def first(self, images: int | None) -> "Golden":
        """So many of them, or as many as there are."""
        return Golden(self.files[:images], self.crops[:images], self.probabilities[:images])


def write_golden(folder: Path, golden: Golden, suffixes: tuple[str, ...]) -> None:
    """Writes golden.npz and the golden files; `suffixes` are the files' own (`.jpg`)."""
    (folder / GOLDEN_FOLDER).mkdir()
    for index, (data, suffix) in enumerate(zip(golden.files, suffixes, strict=True)):
        (folder / GOLDEN_FOLDER / f"{index:02d}{suffix}").write_bytes(data)
    with (folder / GOLDEN_FILE).open("wb") as file:
        np.savez(file, crops=golden.crops, probabilities=golden.probabilities)


def read_golden_arrays(path: Path) -> tuple[Pixels, npt.NDArray[np.float32]]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            crops, probabilities = arrays["crops"], arrays["probabilities"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BundleInvalid(f"{path}: cannot be read: {error}") from error
    if crops.dtype != np.uint8 or probabilities.dtype != np.float32:
        raise BundleInvalid(f"{path}: crops must be uint8 and probabilities float32")
    return crops, probabilities
