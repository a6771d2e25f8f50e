"""How much is measured: on a GPU, and in the rehearsal, which only shows that each step runs."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Device = Literal["cuda", "cpu"]
"""torch's name of it, and the programs' name of the provider."""


@dataclass(frozen=True)
class Sizes:
    """Images, seconds and shapes of all steps."""

    device: Device
    seconds: float
    """Of each measurement."""
    callers: tuple[int, ...]
    fronts: tuple[int, ...]
    batches: tuple[int, ...]
    """Of the session alone."""
    architecture: str
    side: int
    batch_size: int
    images: int
    """To train on."""
    epochs: int
    scored: int

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"


WHOLE: Final = Sizes(
    device="cuda",
    seconds=2,
    callers=(1, 16, 64, 256),
    fronts=(2, 4, 8),
    batches=(1, 8, 32, 64, 128, 256),
    architecture="resnet34",
    side=224,
    batch_size=64,
    images=4800,
    epochs=6,
    scored=20_000,
)
TINY: Final = Sizes(
    device="cpu",
    seconds=0.2,
    callers=(2,),
    fronts=(2,),
    batches=(1, 2),
    architecture="squeezenet1_1",
    side=32,
    batch_size=8,
    images=20,
    epochs=2,
    scored=50,
)


def arguments(step: str) -> tuple[Path, Sizes]:
    """The folder that the kit was unpacked to, and how much to measure."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.gpu.{step}")
    parser.add_argument("content", type=Path)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    return options.content, TINY if options.tiny else WHOLE


def models_in(content: Path) -> Path:
    """The one model's folder of versions that the kit brings."""
    (models,) = (content / "models").iterdir()
    return models


def photographs_in(content: Path) -> Path:
    """JPEG files of 500 x 375 pixels."""
    return content / "photographs"
