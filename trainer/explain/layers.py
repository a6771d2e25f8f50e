"""Which of a network's convolutions is worked out by hand."""

from typing import Final

import torch
from torch import Tensor, nn

from fovea.images.preprocess import Pixels
from trainer.network.model import Network, evaluating
from trainer.network.one_pixel import OneTapConv2d

PLAIN: Final = (nn.Conv2d, OneTapConv2d)
"""Others, of timm's, pad or change their weights before they do what these do."""


def first_layer(network: Network, pixels: Pixels, side: int) -> tuple[str, nn.Conv2d, Tensor] | None:
    """The first convolution with kernels of `side` x `side` that the image, uint8 [S, S, 3], passes through:
    its name, the layer and its input, float32 [1, C, h, w] on the CPU. None where there is none.

    Left out are those that do not slide, over a map of one position, and those with gaps in the kernel.
    """
    passed: list[tuple[str, nn.Conv2d, Tensor]] = []

    def note(name: str, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        if not passed and isinstance(layer, nn.Conv2d) and min(output.shape[2:]) > 1:
            passed.append((name, layer, inputs[0].float().cpu().clone()))

    hooks = [
        layer.register_forward_hook(lambda *call, name=name: note(name, *call))
        for name, layer in network.backbone.named_modules()
        if isinstance(layer, nn.Conv2d) and _is_plain(layer, side)
    ]
    try:
        with torch.no_grad(), evaluating(network):
            network.backbone(network.normalise(torch.tensor(pixels[None]).to(network.mean.device)))
    finally:
        for hook in hooks:
            hook.remove()
    return passed[0] if passed else None


def _is_plain(layer: nn.Conv2d, side: int) -> bool:
    stride, padding = layer.stride, layer.padding
    return (
        type(layer) in PLAIN
        and layer.kernel_size == (side, side)
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and stride in {(1, 1), (2, 2)}
        and not isinstance(padding, str)
        and padding[0] == padding[1]
    )
