"""Models that differ in nothing but what they call the colours, and images of these."""

from pathlib import Path
from typing import Any

from tests import tiny
from tests.tiny import LABELS, picture
from trainer.config import CompareSettings

SWAPPED = ("red", "blue", "green")
"""The labels of a model that takes green and blue for each other."""


def publish(models: Path, staging: Path, *labels: tuple[str, ...]) -> None:
    """A version for each."""
    for number, each in enumerate(labels):
        tiny.publish_bundle(models, staging / str(number), labels=each)


def write_images(folder: Path, count: int = 10, labels: tuple[str, ...] = LABELS) -> Path:
    for label, colour in zip(labels, LABELS, strict=True):
        (folder / label).mkdir(parents=True)
        for index in range(count):
            (folder / label / f"{index}.png").write_bytes(picture(colour, (50 + index, 40)))
    return folder


def settings(tmp_path: Path, new: Path | str, old: Path | str, **options: Any) -> CompareSettings:
    return CompareSettings(
        bundle=str(new),
        against=str(old),
        **{"data": str(tmp_path / "images"), **options},
        output=tmp_path / "out",
        cache_dir=tmp_path / "cache",
        device="cpu",
        threads=2,
    )
