"""What the stages of a network make of one image: its activation maps."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fovea.images.preprocess import Pixels
from trainer.explain.pictures import Floats
from trainer.explain.saliency import channels_first
from trainer.network.model import Network, evaluating

CHANNELS_SHOWN: Final = 6
MOST_STAGES: Final = 8


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
    """Of one image, uint8 [S, S, 3]: after the stem, and after the last stage of each resolution."""
    device = network.mean.device
    outputs: list[tuple[str, Tensor]] = []
    with torch.inference_mode(), evaluating(network):
        values = network.normalise(torch.tensor(pixels[None]).to(device))
        for index, (name, stage) in enumerate(network.backbone.named_children()):
            values = stage(values)
            outputs.append(
                (name, channels_first(network.backbone, index, values)[0].clone())
            )  # next: in place
    stem, sides = _stem_end(network), [int(values.shape[1]) for _, values in outputs]
    last_of_side = {side: index for index, side in enumerate(sides)}
    chosen = sorted({stem, *last_of_side.values()})[-MOST_STAGES:]
    return [_stage_maps(*outputs[index], is_stem=index == stem) for index in chosen]


def _stem_end(network: Network) -> int:
    """Index of the stage that ends the first convolution: its normalisation and activation belong to it."""
    stages = list(network.backbone)
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
