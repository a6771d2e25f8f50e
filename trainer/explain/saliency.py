"""Which places of an image speak for a class: class-activation maps, drawn as heat maps."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops.misc import Permute

from fovea.images.preprocess import Pixels
from trainer.evaluate.metrics import Targets
from trainer.network.model import Network, evaluating

SaliencyMaps = npt.NDArray[np.float32]

BATCH_SIZE: Final = 16
"""Images at a time: bounds the memory of the activations, whatever the number of images."""
SMALLEST_SIDE: Final = 4
"""A map of fewer positions a side cannot show where anything is."""


def saliency_maps(network: Network, pixels: Pixels, classes: Targets) -> SaliencyMaps:
    """How much each place of an image speaks for a class: float32 [n, h, w] in [0, 1], each map's largest 1.

    pixels uint8 [n, S, S, 3]; classes int64 [n], one for each image. A map is all zero where no place speaks
    for the class. Leaves the network as it was: its modes, its weights, its gradients.

    Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): the channels of the last feature map are summed, each
    weighted by the mean of its gradient of the class's logit, and what speaks against the class is cut off.
    The last map of small images is hardly more than a point: they have that of the last stage with 4 x 4 or
    more. There a channel has a weight of its own at each position, its gradient as far as it is positive
    (LayerCAM, Jiang et al. 2021, doi 10.1109/TIP.2021.3089943), and neighbours are averaged.
    """
    with torch.inference_mode(False), evaluating(network):
        layer = feature_layer(network, pixels.shape[1])
        maps = [
            saliency
            for batch in _batches(pixels, classes)
            for saliency in _maps_of_batch(network, layer, *batch)
        ]
    if not maps:
        return np.zeros((0, SMALLEST_SIDE, SMALLEST_SIDE), np.float32)
    return np.stack(maps)


def feature_layer(network: Network, size: int) -> int:
    """Index of the backbone's stage whose output the maps are made of, for images of `size` pixels."""
    sides = []
    with torch.no_grad(), evaluating(network):
        values = network.normalise(torch.zeros(1, size, size, 3, device=network.mean.device))
        for index, stage in enumerate(network.backbone):
            values = stage(values)
            sides.append(min(channels_first(network.backbone, index, values).shape[2:]))
    wanted = min(SMALLEST_SIDE, max(sides))
    return max(index for index, side in enumerate(sides) if side >= wanted)


def channels_first(backbone: nn.Sequential, index: int, values: Tensor) -> Tensor:
    """What stage `index` gave, as [n, C, h, w]: Swin's stages have their channels last, until a `Permute`."""
    if any(isinstance(stage, Permute) for stage in backbone[index + 1 :]):
        return values.permute(0, 3, 1, 2)
    return values


def _batches(pixels: Pixels, classes: Targets) -> Iterator[tuple[Pixels, Targets]]:
    for start in range(0, len(pixels), BATCH_SIZE):
        yield pixels[start : start + BATCH_SIZE], classes[start : start + BATCH_SIZE]


def _maps_of_batch(network: Network, layer: int, pixels: Pixels, classes: Targets) -> SaliencyMaps:
    device = network.mean.device
    with torch.no_grad():
        features = network.backbone[: layer + 1](network.normalise(torch.tensor(pixels).to(device)))
    with torch.enable_grad():
        features.requires_grad_()
        # A copy goes on, for the next layer may work in place.
        logits = network.head(network.backbone[layer + 1 :](features.clone()))
        chosen = logits.gather(1, torch.tensor(classes).to(device)[:, None]).sum()
        (gradients,) = torch.autograd.grad(chosen, features)  # of the features alone, not of any weight
    features, gradients = (channels_first(network.backbone, layer, v) for v in (features.detach(), gradients))
    if layer == len(network.backbone) - 1:
        saliency = (features * gradients.mean((2, 3), keepdim=True)).sum(1).relu()
    else:  # strides further on pass over every other position, which would show as a chequerboard
        saliency = (features * gradients.relu()).sum(1).relu()
        saliency = functional.avg_pool2d(saliency, 3, 1, padding=1)
    saliency = saliency / saliency.amax((1, 2), keepdim=True).clamp(min=torch.finfo(saliency.dtype).tiny)
    return saliency.nan_to_num(0.0).cpu().numpy()
