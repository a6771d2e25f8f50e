"""The digits of the loop: photos with labels, some of them wrong, what comes in production, and the truth."""

import csv
import hashlib
import io
import random
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits

from fovea.capture.rows import Captured

SIDE: Final = 32
"""The files' side in pixels; 8 x 8 is enlarged, so that they can be looked at."""
TEST: Final = 0.25
PHOTOS: Final = 0.375
"""Half of the others."""
WRONG: Final = 0.2
"""Of the labels of the photos."""
SWAPPED: Final = {"3": "8", "8": "3", "4": "9", "9": "4"}
"""What the careless labelling of the bad candidate takes for each other."""


@dataclass(frozen=True)
class Digits:
    photos: Path
    """train/ with wrong labels among them, test/ with none"""
    careless: Path
    """the same, with classes swapped in train/"""
    production: list[Path]
    """what comes to the server; its folders tell the truth, as those of photos/test do"""
    trained: int
    """digits in photos/train"""
    wrong: int
    """of these, that have a wrong label"""

    @property
    def test(self) -> list[Path]:
        return sorted((self.photos / "test").glob("*/*.png"))


def write_digits(home: Path, most: int) -> Digits:
    """1,797 real handwritten digits (UCI), or as many as `most` of each, always divided alike."""
    chance, digits = random.Random(0), load_digits()
    photos, careless, production = (home / name for name in ("photos", "careless", "production"))
    labels = wrong = 0
    for label in map(str, range(10)):
        places = [int(place) for place in np.flatnonzero(digits.target == int(label))]
        chance.shuffle(places)
        places = places[:most]
        tested, trained = round(TEST * len(places)), round((TEST + PHOTOS) * len(places))
        for number, place in enumerate(places):
            data = _png(digits.images[place])
            if number < tested:
                _write(data, photos / "test" / label, place)
            elif number < trained:
                given = _mistaken(label, chance)
                labels, wrong = labels + 1, wrong + (given != label)
                _write(data, photos / "train" / given, place)
                _write(data, careless / "train" / SWAPPED.get(label, label), place)
            else:
                _write(data, production / label, place)
    shutil.copytree(photos / "test", careless / "test")
    return Digits(photos, careless, sorted(production.glob("*/*.png")), labels, wrong)


def label_of(image: Path) -> str:
    """The truth."""
    return image.parent.name


def digest_of(image: Path) -> str:
    return hashlib.sha256(image.read_bytes()).hexdigest()


def write_corrections(file: Path, captured: Iterable[Captured], truth: Mapping[str, str]) -> tuple[int, int]:
    """What a person saves on the page of `python -m trainer label`: a row an image. Returns how many there
    are, and of how many the model's answer is not the truth."""
    answers = {row.sha256: row for row in captured}
    rows = [
        (f"sha256/{digest}", truth[digest], row.label, f"{row.probability:.4f}")
        for digest, row in answers.items()
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("path", "label", "decision", "was", "probability", "rank"))
        for rank, (path, label, was, probability) in enumerate(rows, 1):
            decision = "keep" if was == label else "relabel"
            table.writerow((path, label, decision, was, probability, rank))
    return len(rows), sum(label != was for _, label, was, _ in rows)


def _mistaken(label: str, chance: random.Random) -> str:
    if chance.random() >= WRONG:
        return label
    return chance.choice([other for other in map(str, range(10)) if other != label])


def _png(pixels: npt.NDArray[np.float64]) -> bytes:
    """pixels float64 [8, 8], 0 to 16"""
    picture = Image.fromarray((pixels * (255 / 16)).round().astype(np.uint8))
    data = io.BytesIO()
    picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(data, "PNG")
    return data.getvalue()


def _write(data: bytes, folder: Path, place: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{place:04d}.png").write_bytes(data)
