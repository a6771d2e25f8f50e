"""What the stages of a network make of one image: its activation maps."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fovea.images.preprocess import Pixels
from trainer.explain.pictures import Floats
from trainer.explain.points import outputs_at, points
from trainer.network.model import Network
from trainer.network.timm_networks import timm_backbone

CHANNELS_SHOWN: Final = 6
MOST_STAGES: Final = 8
LAYERS_SHOWN: Final = 4
"""Of a transformer, from first to last."""


@dataclass(frozen=True)
class StageMaps:
    """What one stage of the backbone gave for one image."""

    name: str
    shape: tuple[int, int, int]
    """channels, height, width"""
    mean: Floats
    """[h, w]: over all channels"""
    channels: tuple[int, ...]
    """the channels that differ most between places, the most first; none where there is one place alone"""
    maps: Floats
    """[len(channels), h, w]: these channels' own"""


def activation_maps(network: Network, pixels: Pixels) -> list[StageMaps]:
    """Of one image, uint8 [S, S, 3]: after the stem, and after the last stage of each resolution. A
    transformer has one resolution: there it is after the patches are cut out, and after some of the layers.
    """
    seen = points(network)
    maps = outputs_at(network, seen, torch.tensor(pixels[None]).to(network.mean.device))
    outputs = [
        (point.name, values[0]) for point, values in zip(seen, maps, strict=True) if values is not None
    ]
    chosen, stem = _choose(network, [int(values.shape[1]) for _, values in outputs])
    return [_stage_maps(*outputs[index], is_stem=index == stem) for index in chosen]


def _choose(network: Network, sides: list[int]) -> tuple[list[int], int]:
    """(the stages to show, the one that ends the stem)"""
    stem, last_of_side = _stem_end(network), {side: index for index, side in enumerate(sides)}
    if len(last_of_side) == 1 and len(sides) > LAYERS_SHOWN:
        return [round(k * (len(sides) - 1) / (LAYERS_SHOWN - 1)) for k in range(LAYERS_SHOWN)], stem
    chosen = {stem, *last_of_side.values()} & set(range(len(sides)))
    return sorted(chosen)[-MOST_STAGES:], stem


def _stem_end(network: Network) -> int:
    """Index of the stage that ends the first convolution: its normalisation and activation belong to it."""
    stages = list(network.backbone)
    if timm_backbone(network.backbone):
        return -1  # its layers have names that say what they are
    end = 0
    while end + 1 < len(stages) and _refines(stages[end + 1]):
        end += 1
    return end


def _refines(stage: torch.nn.Module) -> bool:
    return isinstance(stage, (torch.nn.modules.batchnorm._BatchNorm, torch.nn.ReLU))


def _stage_maps(name: str, values: Tensor, *, is_stem: bool) -> StageMaps:
    """values float32 [C, h, w]"""
    maps = values.float().cpu().numpy()
    count = CHANNELS_SHOWN if maps[0].size > 1 else 0
    differing = np.argsort(-maps.std((1, 2)), kind="stable")[:count]
    return StageMaps(
        name="stem" if is_stem else name,
        shape=(maps.shape[0], maps.shape[1], maps.shape[2]),
        mean=maps.mean(0),
        channels=tuple(int(channel) for channel in differing),
        maps=maps[differing],
    )
