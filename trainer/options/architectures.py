"""The architectures that the trainer knows: torchvision's classification models that can be released."""

from typing import Final

ARCHITECTURES: Final = (
    *("alexnet", "convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *("efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4"),
    *("efficientnet_b5", "efficientnet_b6", "efficientnet_b7"),
    *("efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l"),
    "maxvit_t",
    *("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
    *("regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf", "regnet_x_8gf"),
    *("regnet_x_16gf", "regnet_x_32gf", "regnet_y_400mf", "regnet_y_800mf", "regnet_y_1_6gf"),
    *("regnet_y_3_2gf", "regnet_y_8gf", "regnet_y_16gf", "regnet_y_32gf"),
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
    *("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    *("squeezenet1_0", "squeezenet1_1", "swin_t", "swin_s", "swin_b", "swin_v2_t", "swin_v2_s", "swin_v2_b"),
    *("vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    *("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32"),
)
"""Without googlenet and inception_v3, whose weights want images normalised otherwise, and regnet_y_128gf and
vit_h_14, which are larger than the 2 GiB that an ONNX file can hold.

Named here so that `--help` need not import torch; a test compares them with torchvision's own list."""

TIMM_PREFIX: Final = "timm/"
TIMM: Final = (
    "convnext_atto",
    "convnext_nano",
    "convnext_tiny",
    "deit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "efficientnet_b0",
    "mobilenetv3_large_100",
    "mobilenetv3_small_100",
    "resnet18",
    "resnet34",
    "resnet50",
    "swin_tiny_patch4_window7_224",
    "vit_tiny_patch16_224",
    "vit_small_patch16_224",
)
"""Of timm's, by the extra of that name. As --arch they have the prefix; behind a dot may stand which weights
are meant, as in timm/resnet34.a1_in1k."""


def is_timm(arch: str) -> bool:
    return arch.startswith(TIMM_PREFIX)


def is_known(arch: str) -> bool:
    if is_timm(arch):
        return arch.removeprefix(TIMM_PREFIX).split(".", 1)[0] in TIMM
    return arch in ARCHITECTURES
