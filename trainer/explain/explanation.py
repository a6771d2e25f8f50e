"""A network explained by what it makes of some images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from fovea.errors import DataInvalid
from fovea.images.preprocess import Pixels
from trainer.evaluate.metrics import Logits, Targets, softmax
from trainer.explain.convolution import WorkedConvolution, worked_convolution
from trainer.explain.kernels import FirstKernels, first_kernels
from trainer.explain.saliency import NoMaps, SaliencyMaps, saliency_maps
from trainer.explain.stages import StageMaps, activation_maps
from trainer.network.model import Network, evaluating

MOST_CLASSES: Final = 5
MOST_SALIENCY_MAPS: Final = 3


@dataclass(frozen=True)
class NamedImage:
    """An image that a network is explained by."""

    name: str
    pixels: Pixels
    """uint8 [S, S, 3], as the network gets it"""
    truth: str | None = None
    """its label, where that is known"""


@dataclass(frozen=True)
class ExplainedClass:
    """A class, with the network's probability for the image, and which places speak for it."""

    label: str
    probability: float
    saliency: SaliencyMaps | None = None
    """float32 [h, w] in [0, 1], of the first few classes; None too where the architecture gives no maps"""


@dataclass(frozen=True)
class ExplainedImage:
    """What the network makes of one image."""

    image: NamedImage
    classes: tuple[ExplainedClass, ...]
    """the most probable first"""
    stages: tuple[StageMaps, ...]

    @property
    def mapped(self) -> bool:
        """Whether the architecture gives heat maps."""
        return any(explained.saliency is not None for explained in self.classes)

    @property
    def narrows(self) -> bool:
        """Whether its stages have other maps each, and not, as a transformer's layers, the same all along."""
        return len({stage.shape for stage in self.stages}) > 1


@dataclass(frozen=True)
class Explanation:
    """A network, and what it makes of some images."""

    images: tuple[ExplainedImage, ...]
    kernels: FirstKernels
    convolutions: tuple[tuple[int, WorkedConvolution | None], ...]
    """3 and 1, each with a convolution of such kernels upon the first image"""


def explain(
    network: Network, labels: tuple[str, ...], images: Sequence[NamedImage], temperature: float = 1.0
) -> Explanation:
    """By one image or more; `temperature` is what the logits are divided by.

    Leaves the network as it was. Raises DataInvalid for a network whose numbers are none, ArithmeticWrong
    when the convolution by hand is not torch's.
    """
    first = images[0].pixels
    return Explanation(
        images=tuple(_explain_image(network, labels, image, temperature) for image in images),
        kernels=first_kernels(network),
        convolutions=tuple((side, worked_convolution(network, first, side)) for side in (3, 1)),
    )


def _explain_image(
    network: Network, labels: tuple[str, ...], image: NamedImage, temperature: float
) -> ExplainedImage:
    probabilities = softmax(_logits(network, image.pixels) / temperature)
    if not np.isfinite(probabilities).all():
        raise DataInvalid(f"{image.name}: the network answers with what is no number; its training diverged")
    best = np.argsort(-probabilities, kind="stable")[:MOST_CLASSES]
    mapped = best[:MOST_SALIENCY_MAPS]
    maps = _maps(network, np.repeat(image.pixels[None], len(mapped), axis=0), mapped)
    classes = tuple(
        ExplainedClass(labels[index], float(probabilities[index]), maps[place] if place < len(maps) else None)
        for place, index in enumerate(best)
    )
    return ExplainedImage(image, classes, tuple(activation_maps(network, image.pixels)))


def _maps(network: Network, pixels: Pixels, classes: Targets) -> Sequence[SaliencyMaps]:
    """None at all where the architecture gives none."""
    try:
        return list(saliency_maps(network, pixels, classes))
    except NoMaps:
        return []


@torch.inference_mode()
def _logits(network: Network, pixels: Pixels) -> Logits:
    """[classes]"""
    with evaluating(network):
        logits: Logits = network(torch.tensor(pixels[None]).to(network.mean.device))[0].cpu().numpy()
    return logits
