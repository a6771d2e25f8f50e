"""What a multi-label model misses, and what it says that is not there, with the places that speak for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from fovea.model.task import Selected
from trainer.evaluate.metrics import Logits, Targets
from trainer.explain.pictures import data_uri, overlay, picture
from trainer.explain.saliency import NoMaps, saliency_maps
from trainer.images.batches import Images
from trainer.network.model import Network

MOST_LABELS: Final = 20
"""Whose mistakes are shown: those with most."""
EACH: Final = 3
"""Misses, and false alarms, of a label."""
SIDE: Final = 160


@dataclass(frozen=True)
class Mistake:
    """An image, and a label that is wrongly missed or said."""

    address: str
    """a data URI"""
    saliency: str | None
    """of the image with what speaks for the label in bright"""
    name: str
    probability: float
    truth: tuple[str, ...]
    said: tuple[str, ...]


@dataclass(frozen=True)
class LabelMistakes:
    label: str
    missed: int
    alarms: int
    misses: tuple[Mistake, ...]
    """those with the lowest probability first"""
    false_alarms: tuple[Mistake, ...]
    """those with the highest first"""


@dataclass(frozen=True)
class Judged:
    """Images with what was made of them: arrays [n, labels]."""

    images: Images
    labels: tuple[str, ...]
    probabilities: Logits
    chosen: Selected

    def worst(self, label: int, kind: Literal["missed", "alarm"]) -> Targets:
        """Places of the label's mistakes, the worst first."""
        has = self.images.targets[:, label] == 1
        is_wrong = has & ~self.chosen[:, label] if kind == "missed" else ~has & self.chosen[:, label]
        places = np.flatnonzero(is_wrong)
        sign = 1 if kind == "missed" else -1
        return places[np.argsort(sign * self.probabilities[places, label], kind="stable")]


def show_mistakes(judged: Judged, network: Network, budget_bytes: int) -> list[LabelMistakes]:
    """Of the labels with most mistakes, as many pictures as there is room for."""
    wrong = (judged.chosen != judged.images.targets).sum(0)
    order = [int(place) for place in np.argsort(-wrong, kind="stable")[:MOST_LABELS] if wrong[place]]
    shown, left = [], budget_bytes
    for label in order:
        missed, alarms = judged.worst(label, "missed"), judged.worst(label, "alarm")
        taken = _pictures(judged, network, label, [*missed[:EACH].tolist(), *alarms[:EACH].tolist()], left)
        left -= sum(len(mistake.address) + len(mistake.saliency or "") for mistake in taken.values())
        misses, false_alarms = (
            tuple(taken[place] for place in some[:EACH].tolist() if place in taken)
            for some in (missed, alarms)
        )
        shown.append(LabelMistakes(judged.labels[label], len(missed), len(alarms), misses, false_alarms))
    return shown


def _pictures(
    judged: Judged, network: Network, label: int, places: Sequence[int], budget_bytes: int
) -> dict[int, Mistake]:
    """By the image's place."""
    if budget_bytes <= 0:
        return {}
    pixels = np.ascontiguousarray(judged.images.pixels(np.array(places, np.int64)))
    try:
        maps = saliency_maps(network, pixels, np.full(len(places), label, np.int64))
        heat = [data_uri(overlay(c, m, SIDE)) for c, m in zip(pixels, maps, strict=True)]
    except NoMaps:
        heat = [None] * len(places)  # type: ignore[list-item]
    taken: dict[int, Mistake] = {}
    for place, crop, hot in zip(places, pixels, heat, strict=True):
        mistake = _mistake(judged, label, place, data_uri(picture(crop, SIDE)), hot)
        budget_bytes -= len(mistake.address) + len(mistake.saliency or "")
        if budget_bytes < 0:
            break
        taken[place] = mistake
    return taken


def _mistake(judged: Judged, label: int, place: int, address: str, heat: str | None) -> Mistake:
    said = tuple(judged.labels[each] for each in np.flatnonzero(judged.chosen[place]).tolist())
    sample = judged.images.samples[place]
    probability = float(judged.probabilities[place, label])
    return Mistake(address, heat, str(sample), probability, sample.named, said)
