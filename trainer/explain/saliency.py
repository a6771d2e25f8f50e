"""Which places of an image speak for a class: class-activation maps, drawn as heat maps."""

from collections.abc import Iterator
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from fovea.errors import FoveaError
from fovea.images.preprocess import Pixels
from trainer.evaluate.metrics import Targets
from trainer.explain.points import Point, outputs_at, points
from trainer.network.model import Network, evaluating

SaliencyMaps = npt.NDArray[np.float32]

BATCH_SIZE: Final = 16
"""Images at a time: bounds the memory of the activations, whatever the number of images."""
SMALLEST_SIDE: Final = 4
"""A map of fewer positions a side cannot show where anything is."""


class NoMaps(FoveaError):
    """An architecture whose layers tell no place of an image from another."""


def saliency_maps(network: Network, pixels: Pixels, classes: Targets) -> SaliencyMaps:
    """How much each place of an image speaks for a class: float32 [n, h, w] in [0, 1], each map's largest 1.

    pixels uint8 [n, S, S, 3]; classes int64 [n], one for each image. A map is all zero where no place speaks
    for the class. Leaves the network as it was: its modes, its weights, its gradients. Raises NoMaps where no
    layer of the architecture keeps a map of the image.

    Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): the channels of the last feature map are summed, each
    weighted by the mean of its gradient of the class's logit, and what speaks against the class is cut off.
    A transformer's patches are such a map. The last map of small images is hardly more than a point: they
    have that of the last stage with 4 x 4 or more. There a channel has a weight of its own at each position,
    its gradient as far as it is positive (LayerCAM, Jiang et al. 2021, doi 10.1109/TIP.2021.3089943), and
    neighbours are averaged.
    """
    with torch.inference_mode(False), evaluating(network):
        point = saliency_point(network, pixels.shape[1])
        maps = [
            saliency
            for batch in _batches(pixels, classes)
            for saliency in _maps_of_batch(network, point, *batch)
        ]
    if not maps:
        return np.zeros((0, SMALLEST_SIDE, SMALLEST_SIDE), np.float32)
    return np.stack(maps)


def saliency_point(network: Network, size: int) -> Point:
    """Whose output the maps are made of, for images of `size` pixels."""
    places = points(network)
    outputs = outputs_at(network, places, torch.zeros(1, size, size, 3, device=network.mean.device))
    sides = [0 if maps is None else min(maps.shape[2:]) for maps in outputs]
    wanted = min(SMALLEST_SIDE, max(sides, default=0))
    if not wanted:
        raise NoMaps("no layer of this architecture keeps a map of the image")
    return [place for place, side in zip(places, sides, strict=True) if side >= wanted][-1]


def _batches(pixels: Pixels, classes: Targets) -> Iterator[tuple[Pixels, Targets]]:
    for start in range(0, len(pixels), BATCH_SIZE):
        yield pixels[start : start + BATCH_SIZE], classes[start : start + BATCH_SIZE]


def _maps_of_batch(network: Network, point: Point, pixels: Pixels, classes: Targets) -> SaliencyMaps:
    features, logits = _features_and_logits(network, point, torch.tensor(pixels).to(network.mean.device))
    chosen = logits.gather(1, torch.tensor(classes).to(logits.device)[:, None]).sum()
    (gradients,) = torch.autograd.grad(chosen, features)  # of the features alone, not of any weight
    maps, slopes = (cast("Tensor", point.as_maps(v)) for v in (features.detach(), gradients))
    if point.last:
        saliency = (maps * slopes.mean((2, 3), keepdim=True)).sum(1).relu()
    else:  # strides further on pass over every other position, which would show as a chequerboard
        saliency = (maps * slopes.relu()).sum(1).relu()
        saliency = functional.avg_pool2d(saliency, 3, 1, padding=1)
    saliency = saliency / saliency.amax((1, 2), keepdim=True).clamp(min=torch.finfo(saliency.dtype).tiny)
    return saliency.nan_to_num(0.0).cpu().numpy()


def _features_and_logits(network: Network, point: Point, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """What the point gives, and the logits, which depend on that alone: not on weights or on what lies
    before, of which nothing is kept."""
    features: list[Tensor] = []

    def begin(_: nn.Module, __: tuple[Tensor], output: Tensor) -> Tensor:
        features.append(output.detach().requires_grad_())
        return features[0].clone()  # a copy goes on, for the next layer may work in place

    hook = point.layer.register_forward_hook(begin)
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    try:
        with torch.enable_grad():
            logits = functional_call(network, weights, (pixels,))
    finally:
        hook.remove()
    return features[0], logits
