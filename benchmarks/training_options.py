"""What `benchmarks.training` trains: its options, its images, and the trainer's settings for them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.arguments import program
from benchmarks.photographs import write_photographs
from trainer.config import TrainSettings

CLASSES: Final = 10


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Those of the command line unless they are given."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description="How near training comes to the speed of its model."
    )
    parser.add_argument("--arch", default="resnet34")
    parser.add_argument("--images", type=int, default=640, help="an epoch")
    parser.add_argument("--width", type=int, default=500, help="of the files, in pixels")
    parser.add_argument("--height", type=int, default=375)
    parser.add_argument("--size", type=int, default=128, help="what the model sees, in pixels")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="of (a) and (b) in turn")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--folder", type=Path, help="keep the images here")
    parser.add_argument("--fastai", type=program, help="a Python in whose environment fastai is installed")
    return parser.parse_args(arguments)


def photographs_of(options: argparse.Namespace, work: Path) -> Path:
    """The folder of images, made unless it is there."""
    folder = options.folder or work / "photographs"
    return write_photographs(folder, options.images, CLASSES, options.width, options.height)


def settings_of(options: argparse.Namespace, folder: Path, work: Path) -> TrainSettings:
    return TrainSettings(
        data=str(folder),
        models=str(work / "models"),
        cache_dir=work / "cache",
        arch=options.arch,
        weights="none",
        size=options.size,
        batch_size=options.batch_size,
        lr=1e-3,
        device=options.device,
    )
