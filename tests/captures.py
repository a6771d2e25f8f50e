"""Captures as a server writes them."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fovea.capture.files import put_window
from fovea.capture.rows import Captured, Window
from fovea.stores.storage import open_folder

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def captured(image: bytes, label: str = "red", *, keeps_image: bool = True) -> Captured:
    """An answer of `label`."""
    return Captured(
        image=image if keeps_image else None,
        sha256=digest(image),
        size_bytes=len(image),
        label=label,
        probability=0.5,
        top_labels=(label,),
        top_probabilities=(0.5,),
        margin=0.25,
        abstained=False,
        distance=None,
        unknown=None,
        model_name="tiny",
        model_version=1,
        model_digest="cd" * 32,
        answered_at=NOON,
        reason="uniform",
    )


def digest(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


def row(image: bytes, label: str, decision: str = "") -> str:
    """Of a CSV file of corrections."""
    return f"sha256/{digest(image)},{label},{decision}"


def put(folder: Path | str, rows: Iterable[Captured], days: int = 0) -> str:
    """A file of them, so many days after the first; returns its key."""
    began = NOON + timedelta(days=days)
    window = Window(began, began + timedelta(minutes=5), 1000, {"uniform": 10}, 0.01)
    return put_window(open_folder(str(folder)), "0-1", list(rows), window)
