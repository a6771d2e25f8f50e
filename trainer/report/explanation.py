"""The section that explains the network: kernels, maps and a convolution, by two held-out images."""

import logging
from typing import Final

import numpy as np

from fovea.errors import FoveaError
from fovea.printable import shortened
from trainer.explain.explanation import NamedImage
from trainer.explain.page import Fragment, render_fragment
from trainer.images.batches import Images
from trainer.network.model import Network
from trainer.report.outcomes import Outcomes

logger = logging.getLogger(__name__)

MOST_BYTES: Final = 1_200_000


def render_explanation(
    heldout: Images, outcomes: Outcomes, network: Network, labels: tuple[str, ...], temperature: float
) -> Fragment | None:
    """By the surest right answer and the worst answer.

    None, and a warning, where that cannot be shown: no release is held back for it.
    """
    named = tuple(map(shortened, labels))
    images = [_name(heldout, index, named) for index in _choose(outcomes)]
    try:
        fragment = render_fragment(network, named, images, temperature)
    except FoveaError as error:
        logger.warning("the report does not show what the network sees: %s", error)
        return None
    if len(fragment.html.encode()) > MOST_BYTES:
        logger.warning("the report does not show what the network sees: it would be too large")
        return None
    return fragment


def _choose(outcomes: Outcomes) -> list[int]:
    right = outcomes.predicted == outcomes.targets
    surest = int(np.where(right, outcomes.probability, -1.0).argmax())
    return list(dict.fromkeys(([surest] if right.any() else []) + outcomes.worst()[:1]))


def _name(heldout: Images, index: int, labels: tuple[str, ...]) -> NamedImage:
    pixels = np.ascontiguousarray(heldout.pixels(np.array([index]))[0])
    return NamedImage(shortened(str(heldout.samples[index])), pixels, labels[heldout.targets[index]])
