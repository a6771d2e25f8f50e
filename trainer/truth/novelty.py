"""What tells the images that a network was trained for from strangers: how far they are, and a threshold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from fovea.images.preprocess import Pixels
from fovea.images.spec import PreprocessSpec
from fovea.truth.known_classes import Distances, Embeddings, KnownClasses
from fovea.truth.novelty import MeasuredNovelty, OutOfDistribution, Stranger
from trainer.evaluate.metrics import accuracy_interval
from trainer.images.batches import Images
from trainer.images.crops import as_served
from trainer.images.data import DataSet
from trainer.network.model import Network, evaluating
from trainer.truth.classes import know_classes

SAMPLE: Final = 2000
"""Training images by which the classes are known, where OF_EACH does not ask for more."""
LARGEST_SAMPLE: Final = 10_000
OF_EACH: Final = 5
"""Images of a class, as far as there are; its mean is of no fewer."""
STRANGERS: Final = 256
"""Images of a part, at most, of which strangers of each kind are made."""
QUANTILES: Final = 21
"""At every twentieth of the held-out images."""
BATCH: Final = 64
Scores = npt.NDArray[np.floating]
"""[n]"""
Strangers = dict[Stranger, Distances]
"""float32 [n] of each kind"""


@dataclass(frozen=True)
class Surroundings:
    """What the network makes of training images, and of images that it was not trained for."""

    known_classes: KnownClasses
    heldout: Embeddings
    """float32 [m, D], of the first held-out images"""
    strangers: Strangers
    """made of held-out images"""
    of_test: Strangers | None = None
    """made of those of the part test, where there is one"""


def look_around(network: Network, data: DataSet, spec: PreprocessSpec, seed: int, first: int) -> Surroundings:
    """Embeds a sample of the training images, the `first` held-out ones, and strangers made of some of them
    and of the part test's, on the network's device."""
    targets = data.train.targets
    count = max(SAMPLE, min(OF_EACH * len(np.unique(targets)), LARGEST_SAMPLE))
    chosen = sample_by_class(targets, count, seed)
    embeddings = _embed_parts(network, chosen, lambda part: as_served(data.train, part, spec))
    known_classes = know_classes(embeddings, targets[chosen])
    strangers = _strangers(network, known_classes, data.heldout, seed)
    of_test = None if data.test is None else _strangers(network, known_classes, data.test, seed)
    known = embed_first(network, data.heldout, first)
    return Surroundings(known_classes, known, strangers, of_test)


def describe_novelty(
    surroundings: Surroundings,
    known: Distances,
    tested: Distances | None,
    share: float,
    golden: npt.NDArray[np.int64],
) -> OutOfDistribution:
    """`known` are the held-out images' distances, of which `share` is to be at the threshold or nearer;
    `golden` are the golden images' places among them.

    `tested` are those of the part test, by which nothing is chosen; None where there is none.
    """
    threshold = float(np.quantile(known, share, method="higher"))
    steps = np.linspace(0, 1, QUANTILES)
    novelty = OutOfDistribution(
        threshold=threshold,
        share=share,
        quantiles=tuple(map(float, np.quantile(known, steps))),
        auroc=_aurocs(known, surroundings.strangers),
        golden=tuple(known[golden].tolist()),
    )
    parts = np.bincount([novelty.place(distance) for distance in known.tolist()], minlength=QUANTILES - 1)
    measured = None if tested is None else _measured(novelty, tested, surroundings.of_test or {})
    return novelty.model_copy(update={"images_by_part": tuple(parts.tolist()), "measured": measured})


def _measured(novelty: OutOfDistribution, tested: Distances, strangers: Strangers) -> MeasuredNovelty:
    unknown = sum(map(novelty.is_unknown, tested.tolist()))
    return MeasuredNovelty(
        images=len(tested),
        unknown=unknown,
        interval_95=accuracy_interval(unknown, len(tested)),
        auroc=_aurocs(tested, strangers),
    )


def _aurocs(known: Distances, strangers: Strangers) -> dict[Stranger, float]:
    return {kind: auroc(known, distances) for kind, distances in strangers.items()}


def auroc(known: Scores, strangers: Scores) -> float:
    """The area under the ROC curve: how often a stranger is further away than a known image; ties count half.

    (J. Hanley and B. McNeil, The meaning and use of the area under a ROC curve, Radiology 143, 1982.)
    """
    ordered = np.sort(known)
    nearer = np.searchsorted(ordered, strangers, "left") + np.searchsorted(ordered, strangers, "right")
    return float(nearer.mean() / 2 / len(known))


def sample_by_class(targets: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """The places of `count` images at most, drawn by the seed: of each class OF_EACH, as far as there are,
    and beyond that in proportion to the classes."""
    drawn = np.random.default_rng(seed).permutation(len(targets))
    rank = np.zeros(len(targets), np.int64)
    sizes = np.bincount(targets)
    for target in np.unique(targets):
        members = drawn[targets[drawn] == target]
        rank[members] = np.arange(len(members))
    order = np.lexsort((drawn.argsort(), (rank + 0.5) / sizes[targets], np.minimum(rank, OF_EACH)))
    return np.sort(order[:count])


@torch.inference_mode()
def embed(network: Network, pixels: Pixels) -> Embeddings:
    """uint8 [n, S, S, 3] -> float32 [n, D], each of length 1."""
    with evaluating(network):
        _, embeddings = network.answer(torch.tensor(pixels, device=network.mean.device))
    return np.asarray(embeddings.cpu().numpy())


def embed_first(network: Network, images: Images, first: int) -> Embeddings:
    """float32 [m, D] of the `first` images, or of all where they are fewer."""
    return _embed_parts(network, np.arange(min(first, len(images))), images.pixels)


def _embed_parts(
    network: Network,
    chosen: npt.NDArray[np.int64],
    pixels: Callable[[npt.NDArray[np.int64]], Pixels],
) -> Embeddings:
    parts = (chosen[start : start + BATCH] for start in range(0, len(chosen), BATCH))
    return np.concatenate([embed(network, pixels(part)) for part in parts])


Maker = Callable[[Pixels, np.random.Generator], Pixels]


def _noise(crops: Pixels, random: np.random.Generator) -> Pixels:
    return random.integers(0, 256, crops.shape, np.uint8)


def _inverted(crops: Pixels, random: np.random.Generator) -> Pixels:
    return np.asarray(255 - crops)


def _corrupted(crops: Pixels, random: np.random.Generator) -> Pixels:
    lost = random.random(crops.shape[:3]) < 0.5
    return np.where(lost[..., None], _noise(crops, random), crops)


MAKERS: Final[dict[Stranger, Maker]] = {"noise": _noise, "inverted": _inverted, "corrupted": _corrupted}


def _strangers(network: Network, known_classes: KnownClasses, images: Images, seed: int) -> Strangers:
    some = sample_by_class(images.targets, STRANGERS, seed)
    return {
        kind: known_classes.distances(_embed_parts(network, some, _made_of(images, make, seed)))
        for kind, make in MAKERS.items()
    }


def _made_of(images: Images, make: Maker, seed: int) -> Callable[[npt.NDArray[np.int64]], Pixels]:
    random = np.random.default_rng(seed)
    return lambda part: make(images.pixels(part), random)
