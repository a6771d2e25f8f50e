"""All that there is to see of a network and some images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from fovea.errors import DataInvalid
from fovea.images.preprocess import Pixels
from trainer.evaluate.metrics import Logits, softmax
from trainer.explain.convolution import WorkedConvolution, worked_convolution
from trainer.explain.heat import HeatMaps, heat_map
from trainer.explain.kernels import FirstKernels, first_kernels
from trainer.explain.stages import StageMaps, activation_maps
from trainer.network.model import Network, evaluating

MOST_ANSWERS: Final = 5
MOST_HEAT_MAPS: Final = 3


@dataclass(frozen=True)
class NamedImage:
    """An image to look at."""

    name: str
    pixels: Pixels
    """uint8 [S, S, 3], as the network gets it"""
    truth: str | None = None
    """its label, where that is known"""


@dataclass(frozen=True)
class Answer:
    """A class, with the network's probability for the image, and where it sees it."""

    label: str
    probability: float
    heat: HeatMaps | None = None
    """float32 [h, w] in [0, 1], of the first few answers"""


@dataclass(frozen=True)
class View:
    """What the network makes of one image."""

    image: NamedImage
    answers: tuple[Answer, ...]
    """the most probable first"""
    stages: tuple[StageMaps, ...]


@dataclass(frozen=True)
class Sight:
    """A network, and what it makes of some images."""

    views: tuple[View, ...]
    kernels: FirstKernels
    convolutions: tuple[tuple[int, WorkedConvolution | None], ...]
    """3 and 1, each with a convolution of such kernels upon the first image"""


def look(
    network: Network, labels: tuple[str, ...], images: Sequence[NamedImage], temperature: float = 1.0
) -> Sight:
    """Looks at one image or more; `temperature` is what the logits are divided by.

    Leaves the network as it was. Raises DataInvalid for a network whose numbers are none, ArithmeticWrong
    when the convolution by hand is not torch's.
    """
    views = tuple(_view(network, labels, image, temperature) for image in images)
    first = images[0].pixels
    return Sight(
        views=views,
        kernels=first_kernels(network),
        convolutions=tuple((side, worked_convolution(network, first, side)) for side in (3, 1)),
    )


def _view(network: Network, labels: tuple[str, ...], image: NamedImage, temperature: float) -> View:
    probabilities = softmax(_logits(network, image.pixels) / temperature)
    if not np.isfinite(probabilities).all():
        raise DataInvalid(f"{image.name}: the network answers with what is no number; its training diverged")
    best = np.argsort(-probabilities, kind="stable")[:MOST_ANSWERS]
    explained = best[:MOST_HEAT_MAPS]
    heats = heat_map(network, np.repeat(image.pixels[None], len(explained), axis=0), explained)
    answers = tuple(
        Answer(labels[index], float(probabilities[index]), heats[place] if place < len(heats) else None)
        for place, index in enumerate(best)
    )
    return View(image, answers, tuple(activation_maps(network, image.pixels)))


@torch.inference_mode()
def _logits(network: Network, pixels: Pixels) -> Logits:
    """[classes]"""
    with evaluating(network):
        logits: Logits = network(torch.tensor(pixels[None]).to(network.mean.device))[0].cpu().numpy()
    return logits
