"""The layers up to the features: torchvision's networks without their heads, in stages, and timm's."""

from collections import OrderedDict
from typing import cast

import torchvision
from torch import nn
from torchvision.models.maxvit import MaxVit
from torchvision.models.vision_transformer import VisionTransformer

from fovea.errors import SettingsInvalid
from trainer.network.timm_networks import build_timm
from trainer.network.tokens import Patches
from trainer.options.architectures import is_timm

CONTAINERS = ("features", "layers", "trunk_output", "blocks")
"""torchvision's names for a sequence of stages"""
PARTS_REPLACED = frozenset({"avgpool", "fc", "classifier", "head", "heads", "flatten"})
MAXVIT_STEP = 224
"""Its last stage has a 32nd of an image's side, which windows of 7 must divide."""


def build_backbone(arch: str, size: int = 224) -> nn.Sequential:
    """For images of `size` pixels, with random weights. Its names are torchvision's, with `features_0` for
    what is `features.0` there, or `timm.model.` and timm's. Raises SettingsInvalid where no such images can
    be looked at."""
    if is_timm(arch):
        return build_timm(arch, size)
    if arch.startswith("vit_"):
        return _vision_transformer(arch, size)
    if arch.startswith("maxvit"):
        return _maxvit(arch, size)
    return _in_stages(torchvision.models.get_model(arch, weights=None), arch)


def _in_stages(net: nn.Module, arch: str) -> nn.Sequential:
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in net.named_children():
        if name in CONTAINERS:
            stages.update((f"{name}_{child}", stage) for child, stage in module.named_children())
        elif name not in PARTS_REPLACED:
            stages[name] = module
    if arch.startswith("densenet"):  # which calls this as a function
        stages["relu"] = nn.ReLU()
    return nn.Sequential(stages)


def _maxvit(arch: str, size: int) -> nn.Sequential:
    if size % MAXVIT_STEP:
        raise SettingsInvalid(
            f"--size {size}: {arch} divides its maps into windows of 7 by 7 places; it should be "
            f"{MAXVIT_STEP}, or a multiple of that"
        )
    net = cast("MaxVit", torchvision.models.get_model(arch, weights=None, input_size=(size, size)))
    return _in_stages(net, arch)


def _vision_transformer(arch: str, size: int) -> nn.Sequential:
    patch = int(arch.rpartition("_")[2])
    if size % patch:
        below = size // patch * patch
        near = f"{below} or {below + patch}" if below else str(patch)
        raise SettingsInvalid(
            f"--size {size}: {arch} cuts images into patches of {patch} pixels; it should be a multiple of "
            f"that, such as {near}"
        )
    return in_layers(torchvision.models.get_model(arch, weights=None, image_size=size))


def in_layers(net: VisionTransformer) -> nn.Sequential:
    """Its patches, its encoder's layers and the last normalisation, one after another."""
    layers = cast("nn.Sequential", net.encoder.layers)
    stages: OrderedDict[str, nn.Module] = OrderedDict(patches=Patches(net))
    stages.update(layers.named_children())
    stages["ln"] = net.encoder.ln
    return nn.Sequential(stages)
