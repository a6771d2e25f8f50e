"""What all pictures of a data set are compared for, once: which are nearly the same, how sharp each is.

It is kept beside the decoded images: whoever trains on them again need not compare them again.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ValidationError

from fovea.errors import Unavailable
from fovea.model.bundle import canonical_json
from trainer.images.field import Field, Pictures
from trainer.images.near_duplicates import Pair, find_near_duplicates
from trainer.images.orientation import Orientation
from trainer.images.part import Part

FORMAT: Final = "3"
FAR_OUT: Final = 3.0
"""Tukey's outer fence (1977): so many interquartile ranges below the first quartile is far out."""
FEWEST: Final = 20
"""Images of which such quartiles say something."""
LEAST_BLUR: Final = 4.0
"""What is blurred is so many times less sharp than the first quartile at least, however alike the others."""


class Survey(BaseModel, frozen=True):
    """Of the pictures of all parts, numbered through."""

    pairs: list[tuple[int, int, bool, int]]
    """that are nearly the same: the places of both, and how the first is mirrored and turned to be the
    second"""
    sharpness: list[float]
    """see `Field.sharpness`"""

    def near_duplicates(self) -> list[Pair]:
        return [
            Pair(one, other, Orientation(mirrored, quarters)) for one, other, mirrored, quarters in self.pairs
        ]


def survey(parts: Sequence[Part], rows: Sequence[Sequence[int]], flip: bool, cache_dir: Path) -> Survey:
    """Of these rows of the parts. Mirrored pictures are the same where `flip` says that they mean the same.

    Raises Unavailable when what was found cannot be kept in the cache.
    """
    stored = cache_dir / "surveys" / f"{_key(parts, rows, flip)}.json"
    try:
        return Survey.model_validate_json(stored.read_text())
    except (OSError, ValidationError):
        found = _look(parts, rows, flip)
    try:
        _keep(found, stored)
    except OSError as error:
        raise Unavailable(
            f"{stored.parent}: the image cache cannot be written: {error.strerror}; another folder can be "
            "given as --cache-dir"
        ) from error
    return found


def blurred(sharpness: Sequence[float]) -> list[bool]:
    """Which are far less sharp than most of them."""
    values = np.array(sharpness)
    is_known = values > 0
    if is_known.sum() < FEWEST:
        return [False] * len(values)
    logarithms = np.log(np.where(is_known, values, 1))
    quarter, three_quarters = np.quantile(logarithms[is_known], [0.25, 0.75])
    fence = quarter - max(FAR_OUT * (three_quarters - quarter), np.log(LEAST_BLUR))
    below: list[bool] = (is_known & (logarithms < fence)).tolist()
    return below


def _look(parts: Sequence[Part], rows: Sequence[Sequence[int]], flip: bool) -> Survey:
    narrowest = parts[-1].spec
    fields = [
        Field.of(part.decoded.cache, np.array(of, np.int64), part.spec, narrowest)
        for part, of in zip(parts, rows, strict=True)
    ]
    labels = [part.samples[row].label for part, of in zip(parts, rows, strict=True) for row in of]
    targets = np.unique(labels, return_inverse=True)[1]
    pairs = find_near_duplicates(Pictures(fields), targets, narrowest.size, flip)
    sharpness = np.concatenate([field.sharpness() for field in fields])
    return Survey(
        pairs=[(p.first, p.second, p.orientation.mirrored, p.orientation.quarters) for p in pairs],
        sharpness=sharpness.tolist(),
    )


def _key(parts: Sequence[Part], rows: Sequence[Sequence[int]], flip: bool) -> str:
    seen = [
        [part.spec.digest, [(part.samples[row].label, part.decoded.digests[row]) for row in of]]
        for part, of in zip(parts, rows, strict=True)
    ]
    return hashlib.sha256(canonical_json([FORMAT, flip, seen]).encode()).hexdigest()


def _keep(found: Survey, stored: Path) -> None:
    stored.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=stored.parent, prefix=".tmp-")
    with os.fdopen(descriptor, "w") as file:
        file.write(found.model_dump_json())
    Path(partial).replace(stored)
