"""Captured answers, and a page of them, as if a model had said so."""

import dataclasses
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from fovea.capture.rows import Captured
from fovea.model.bundle import BundleContract
from tests import captures, tiny
from trainer.labelling.gathering import Gathering
from trainer.labelling.page import Labelled
from trainer.labelling.saving import Row


def scene(seed: int) -> bytes:
    """A PNG file of rough shapes, unlike those of other seeds."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((80, 60), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def anew(data: bytes, quality: int) -> bytes:
    """The same picture as a JPEG file."""
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def answer(image: bytes | None, label: str = "red", margin: float = 0.5, **changes: Any) -> Captured:
    sure = (1 + margin) / 2
    others = [other for other in tiny.LABELS if other != label][:1]
    values: dict[str, Any] = {
        "probability": sure,
        "top_labels": (label, *others),
        "top_probabilities": (sure, sure - margin),
        "margin": margin,
        "reason": "small_margin",
    }
    row = captures.captured(image or b"", label, keeps_image=image is not None)
    return dataclasses.replace(row, **values | changes)


def labelled(
    rows: Iterable[Captured],
    contract: BundleContract,
    groups: Sequence[Sequence[int]] | None = None,
    earlier: Sequence[Row] = (),
) -> Labelled:
    images = Gathering(contract.name, (), 2000).gather(rows, 1).images
    alone = [[place] for place in range(len(images))]
    return Labelled(contract, images, alone if groups is None else groups, earlier, ())
