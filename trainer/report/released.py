"""The files of a release, as the page's table has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fovea.model.bundle import MODEL_FILE, BundleContract, file_digest
from trainer.evaluate.latency import Latency
from trainer.evaluate.task import Measured


@dataclass(frozen=True)
class ReleasedFile:
    """A precision that was asked for and is released."""

    precision: str
    megabytes: float
    accuracy: float
    """or mean average precision, of several labels an image"""
    drop: float
    """below fp32's accuracy; negative where it is better"""
    sha256: str
    latency: Latency
    f1: float | None = None
    """micro F1 at the thresholds, of several labels an image"""
    f1_drop: float = 0.0
    """below fp32's"""


@dataclass(frozen=True)
class ReleasedFiles:
    """All of them, and what became of the others."""

    files: tuple[ReleasedFile, ...]
    left_out: Mapping[str, str]
    """precision -> why"""
    machine: str
    """on which the latencies were measured, in one line"""

    @property
    def fastest(self) -> float:
        """Images a second of the fastest, for bars to be drawn beside."""
        return max((file.latency.images_per_s for file in self.files), default=1.0)


def describe_files(
    folder: Path,
    contract: BundleContract,
    latencies: Mapping[str, Latency],
    left_out: Mapping[str, str],
    machine: str,
) -> ReleasedFiles:
    """`latencies` are of every precision that is in the folder."""
    best = Measured(contract.metrics, contract.label_metrics)
    variants = [
        (str(name), v.file, Measured(v.metrics, v.label_metrics)) for name, v in contract.variants.items()
    ]
    files = (
        ReleasedFile(
            precision,
            (folder / file).stat().st_size / 1e6,
            measured.worth,
            best.worth - measured.worth,
            file_digest(folder / file),
            latencies[precision],
            measured.f1,
            (best.f1 or 0.0) - (measured.f1 or 0.0),
        )
        for precision, file, measured in [("fp32", MODEL_FILE, best), *variants]
    )
    return ReleasedFiles(tuple(files), dict(left_out), machine)
