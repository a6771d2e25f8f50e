"""The points of a network at which what it makes of an image can be seen as maps."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.ops.misc import Permute

from trainer.network.model import Network, evaluating
from trainer.network.timm_networks import TimmBackbone, timm_backbone
from trainer.network.tokens import Patches, patch_maps

AsMaps = Callable[[Tensor], Tensor | None]


@dataclass(frozen=True)
class Point:
    """A layer, and how its output is maps."""

    name: str
    layer: nn.Module
    as_maps: AsMaps
    """what the layer gives -> [n, C, h, w]; None where it has no places"""
    last: bool
    """whether what follows no longer tells one place from another by where it is"""


def points(network: Network) -> list[Point]:
    """In the order in which an image passes them."""
    backbone = network.backbone
    if isinstance(backbone[0], Patches):
        return _of_tokens(backbone)
    if timm := timm_backbone(backbone):
        return _of_timm(timm)
    stages = list(backbone.named_children())
    return [
        Point(name, layer, _as_maps_of(backbone, index), last=index == len(stages) - 1)
        for index, (name, layer) in enumerate(stages)
    ]


def outputs_at(network: Network, places: Sequence[Point], pixels: Tensor) -> list[Tensor | None]:
    """What each point gives for pixels [n, S, S, 3], as maps [n, C, h, w]."""
    seen: dict[int, Tensor | None] = {}

    def look(index: int, output: Tensor) -> None:
        maps = places[index].as_maps(output)
        seen[index] = None if maps is None else maps.clone()  # the next layer may work in place

    with torch.no_grad(), evaluating(network), _hooked(places, look):
        network(pixels)
    return [seen.get(index) for index in range(len(places))]


@contextmanager
def _hooked(places: Sequence[Point], look: Callable[[int, Tensor], None]) -> Iterator[None]:
    hooks = [
        point.layer.register_forward_hook(lambda _, __, output, index=index: look(index, output))
        for index, point in enumerate(places)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _of_tokens(backbone: nn.Sequential) -> list[Point]:
    """Up to the last layer but one: the last one gathers in the class token what the patches say, and what it
    gives at their places says no more where that came from."""
    stages = list(backbone.named_children())[:-2]
    return [Point(name, layer, patch_maps, last=True) for name, layer in stages]


def _of_timm(backbone: TimmBackbone) -> list[Point]:
    """Where timm says that features can be had; where there is a class token, not of the last layer."""
    places, tokens = backbone.places(), backbone.other_tokens > 0
    return [
        Point(
            place.name,
            place.layer,
            partial(backbone.as_maps, channels=place.channels),
            last=tokens or place is places[-1],
        )
        for place in (places[:-2] if tokens and len(places) > 2 else places)
    ]


def _as_maps_of(backbone: nn.Sequential, index: int) -> AsMaps:
    """Swin's stages have their channels last, until a `Permute`."""
    if any(isinstance(stage, Permute) for stage in backbone[index + 1 :]):
        return lambda values: values.permute(0, 3, 1, 2)
    return lambda values: values if values.dim() == 4 else None
