"""What tells strangers from the images that a network was trained for: five scores and kinds of strangers.

    pip install --no-deps scikit-image==0.26.0
    OMP_NUM_THREADS=1 python -m benchmarks.strangers
    OMP_NUM_THREADS=1 python -m benchmarks.strangers --cost

Networks learn seven of scikit-learn's ten handwritten digits, and four of seven pictures that scikit-image
carries, in cuttings; each is released by the trainer. The scores are computed from the bundle's own outputs.
What is told is the AUROC, how often a stranger is further away than a held-out image: the mean of the seeds
and the lowest; and how many of the strangers the bundle calls unknown.
"""

import argparse
import importlib.util
import itertools
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits

from benchmarks.arguments import positive_int
from benchmarks.machine import describe_machine
from fovea.images.preprocess import Pixels
from fovea.model.bundle import ModelBundle
from fovea.model.sessions import SessionOptions, open_session, ort
from fovea.truth.known_classes import Embeddings, KnownClasses
from trainer.truth.classes import LEAST_DIRECTIONS, MOST_DIRECTIONS
from trainer.truth.novelty import MAKERS, auroc

SIDE: Final = 32
LEFT_OUT: Final = 3
"""Classes of ten that the network never sees."""
PICTURES: Final = ("astronaut", "brick", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field")
HELD_OUT: Final = 0.3
CUTTINGS: Final = 180
"""Of a picture."""
RECIPE: Final = (
    *("--weights", "none", "--size", str(SIDE), "--resize", str(SIDE)),
    *("--batch-size", "32", "--num-steps", "60", "--min-crop", "0.85", "--max-warp", "0", "--no-flip"),
    *("--lr", "0.003"),
)
Scores = npt.NDArray[np.float64]
Data = dict[str, tuple[Pixels, Pixels]]
"""Of each class the images to train on and those held out, uint8 [n, 32, 32, 3]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=positive_int, default=6)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--arch", default="resnet18", help="as the trainer's")
    parser.add_argument("--cost", action="store_true", help="of a distance, instead of what it tells")
    options = parser.parse_args()
    print(f"{describe_machine(torch.device('cpu'), torch.get_num_threads())}\n")
    if options.cost:
        print_cost()
        return
    sets = {name: make() for name, make in SETS.items()}
    print(f"| set | strangers | {' | '.join(SCORES)} | called unknown |")
    print(f"|---|---|{'---:|' * (len(SCORES) + 1)}")
    for name, data in ((name, sets[name]) for name in options.sets):
        (other,) = (every(each) for title, each in sets.items() if title != name)
        learning = ("--arch", options.arch, "--epochs", str(options.epochs))
        told = [compare(data, other, seed, learning) for seed in options.seeds]
        for kind in told[0]:
            cells = np.array([each[kind] for each in told])
            figures = [f"{np.mean(column):.3f} ({np.min(column):.3f})" for column in cells[:, :-1].T]
            print(f"| {name} | {kind} | {' | '.join(figures)} | {cells[:, -1].mean():.1%} |", flush=True)


def print_cost() -> None:
    """Milliseconds of one core for a distance: the least of 500."""
    print(
        "| values of an embedding | classes | directions | ms | MB of a bundle |\n|---:|---:|---:|---:|---:|"
    )
    for values, classes in itertools.product((512, 1024, 4096), (10, 1000)):
        directions = min(max(LEAST_DIRECTIONS, classes), MOST_DIRECTIONS, values)
        shapes = ((values,), (directions, values), (directions + 1,), (classes, directions))
        known = KnownClasses(*(np.full(shape, 0.01, np.float32) for shape in shapes))
        embedding = np.full((1, values), values**-0.5, np.float32)
        least_s = min(timeit.repeat(partial(known.distances, embedding), number=1, repeat=500))
        size = sum(array.nbytes for array in vars(known).values()) / 1e6
        print(f"| {values} | {classes} | {directions} | {1000 * least_s:.3f} | {size:.1f} |")


def digits() -> Data:
    """All 1,797, enlarged."""
    loaded, random = load_digits(), np.random.default_rng(0)
    grey = (loaded.images * (255 / 16)).round().astype(np.uint8)
    large = np.stack([np.asarray(Image.fromarray(each).resize((SIDE, SIDE), 3)) for each in grey])
    colour = np.repeat(large[..., None], 3, axis=3)
    return {str(digit): _split(random.permutation(colour[loaded.target == digit])) for digit in range(10)}


def pictures() -> Data:
    """Cuttings of each: to train on from the left of it, held out from the right."""
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise SystemExit("the pictures come with scikit-image: pip install --no-deps scikit-image==0.26.0")
    folder = Path(package.origin).parent / "data"
    random = np.random.default_rng(0)
    files = {name: next(folder.glob(f"{name}.*")) for name in PICTURES}
    return {name: _cuttings(Image.open(file).convert("RGB"), random) for name, file in files.items()}


SETS: Final[dict[str, Callable[[], Data]]] = {"digits": digits, "pictures": pictures}


def _cuttings(picture: Image.Image, random: np.random.Generator) -> tuple[Pixels, Pixels]:
    small = np.asarray(picture.resize((picture.width // 2, picture.height // 2)))
    border = round(small.shape[1] * (1 - HELD_OUT))
    held_out = round(CUTTINGS * HELD_OUT)
    sides = ((small[:, :border], CUTTINGS - held_out), (small[:, border:], held_out))
    train, rest = (np.stack([_cutting(side, random) for _ in range(count)]) for side, count in sides)
    return train, rest


def _cutting(picture: Pixels, random: np.random.Generator) -> Pixels:
    top, left = (random.integers(0, extent - SIDE + 1) for extent in picture.shape[:2])
    return picture[top : top + SIDE, left : left + SIDE]


def _split(images: Pixels) -> tuple[Pixels, Pixels]:
    held_out = round(len(images) * HELD_OUT)
    return images[held_out:], images[:held_out]


def every(data: Data) -> Pixels:
    return np.concatenate([part for parts in data.values() for part in parts])


def compare(data: Data, other: Pixels, seed: int, learning: tuple[str, ...]) -> dict[str, list[float]]:
    """Kind of stranger -> the AUROC of each score, and the share that is called unknown."""
    random = np.random.default_rng(seed)
    strange = sorted(random.permutation(sorted(data))[:LEFT_OUT].tolist())
    known = {label: parts for label, parts in data.items() if label not in strange}
    held_out = np.concatenate([rest for _, rest in known.values()])
    strangers: dict[str, Pixels] = {
        "classes left out": every({label: data[label] for label in strange}),
        "other data": other,
        **{kind: make(held_out, random) for kind, make in MAKERS.items()},
    }
    with tempfile.TemporaryDirectory() as scratch:
        model = Model.of(release(known, Path(scratch), seed, learning), known)
    ours, unknown = model.says(held_out), {}
    for kind, pixels in strangers.items():
        theirs = model.says(pixels)
        scores = [auroc(score(model, ours), score(model, theirs)) for score in SCORES.values()]
        unknown[kind] = [
            *scores,
            float((as_released(model, theirs) > model.threshold).mean()),
        ]
    return unknown


def release(known: Data, folder: Path, seed: int, learning: tuple[str, ...]) -> ModelBundle:
    """As the trainer's own command trains and releases it."""
    for label, parts in known.items():
        for part, images in zip(("train", "val"), parts, strict=True):
            (folder / "data" / part / label).mkdir(parents=True)
            for index, pixels in enumerate(images):
                Image.fromarray(pixels).save(folder / "data" / part / label / f"{index}.png")
    places = ("--data", "data", "--models", "models/m", "--runs", "runs", "--cache-dir", "cache")
    command = [sys.executable, "-m", "trainer", "train", *places, *RECIPE, *learning, "--seed", str(seed)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return ModelBundle.open(folder / "models" / "m" / "1")


@dataclass(frozen=True)
class Said:
    """What a model makes of images."""

    logits: Scores
    embeddings: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """A released network, and the shape of what it was trained on."""

    session: ort.InferenceSession
    known_classes: KnownClasses
    threshold: float
    trained_on: Embeddings
    means: Scores
    """[classes, D]"""
    precision: Scores
    """[D, D], the inverse of the covariance that the classes share"""
    of_all: Scores
    """the mean of all that it was trained on, and the inverse of its covariance: [1 + D, D]"""

    @classmethod
    def of(cls, bundle: ModelBundle, known: Data) -> "Model":
        session = open_session(bundle.model_path, "cpu", SessionOptions())
        of_class = [session.run(["embedding"], {"pixels": train})[0] for train, _ in known.values()]
        trained_on = np.concatenate(of_class)
        means = np.stack([each.mean(0, dtype=np.float64) for each in of_class])
        shared = LedoitWolf(assume_centered=True).fit(trained_on - means.repeat(list(map(len, of_class)), 0))
        whole = LedoitWolf().fit(trained_on)
        of_all = np.concatenate([whole.location_[None], whole.precision_])
        novelty, known_classes = bundle.contract.out_of_distribution, bundle.known_classes()
        assert novelty
        assert known_classes
        return cls(session, known_classes, novelty.threshold, trained_on, means, shared.precision_, of_all)

    def says(self, pixels: Pixels) -> Said:
        logits, embeddings = self.session.run(["logits", "embedding"], {"pixels": pixels})
        return Said(logits.astype(np.float64), embeddings)


def as_released(model: Model, said: Said) -> Scores:
    """The bundle's own distance."""
    return model.known_classes.distances(said.embeddings).astype(np.float64)


def by_neighbour(model: Model, said: Said) -> Scores:
    """By the cosine of the angle to the fifth nearest (Y. Sun, Y. Ming, X. Zhu and Y. Li, 2022, arXiv
    2204.06507)."""
    return 1 - np.partition(said.embeddings @ model.trained_on.T, -5, axis=1)[:, -5].astype(np.float64)


def by_mahalanobis(model: Model, said: Said) -> Scores:
    """To the nearest class (K. Lee, K. Lee, H. Lee and J. Shin, 2018, arXiv 1807.03888)."""
    off = said.embeddings[:, None] - model.means
    return np.asarray(np.einsum("ncd,de,nce->nc", off, model.precision, off, optimize=True).min(1))


def by_relative_mahalanobis(model: Model, said: Said) -> Scores:
    """Less the distance to all (J. Ren and others, 2021, arXiv 2106.09022)."""
    off = said.embeddings - model.of_all[0]
    to_all = np.einsum("nd,de,ne->n", off, model.of_all[1:], off, optimize=True)
    return np.asarray(by_mahalanobis(model, said) - to_all)


def by_softmax(model: Model, said: Said) -> Scores:
    powers = np.exp(said.logits - said.logits.max(1, keepdims=True))
    return np.asarray(-1 / powers.sum(1))


def by_energy(model: Model, said: Said) -> Scores:
    return np.asarray(-np.logaddexp.reduce(said.logits, axis=1))


SCORES: Final[dict[str, Callable[[Model, Said], Scores]]] = {
    "as released": as_released,
    "5th neighbour": by_neighbour,
    "Mahalanobis": by_mahalanobis,
    "relative": by_relative_mahalanobis,
    "softmax": by_softmax,
    "energy": by_energy,
}

if __name__ == "__main__":
    main()
