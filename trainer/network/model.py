"""The network: torchvision's or timm's backbone, a new head; what is frozen, and who learns how fast."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fovea.errors import SettingsInvalid
from trainer.network.backbones import build_backbone
from trainer.network.one_pixel import use_one_tap_of_one_pixel
from trainer.network.timm_networks import Colours, image_config, timm_backbone
from trainer.network.tokens import Patches, TokenPool
from trainer.options.architectures import is_timm

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
WEIGHT_DECAY = 0.01
GROUPS = 3
SHORTEST = 1e-12
"""length of pooled features, by which they may be divided"""
Weight = tuple[nn.Parameter, bool]
"""with whether it decays"""
_UNDECAYED = ("bias", "class_token", "pos_embedding")
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class Network(nn.Module):
    """pixels [n, S, S, 3] RGB in [0, 255], uint8 or float32 -> logits float32 [n, classes]."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Sequential, head: nn.Sequential, mean: Colours = MEAN, std: Colours = STD
    ) -> None:
        """`mean` and `std` are those of the images that the weights were made of, in [0, 1]."""
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.register_buffer("mean", 255 * torch.tensor(mean), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std), persistent=False)

    @property
    def classes(self) -> int:
        last: nn.Linear = self.head[-1]  # type: ignore[assignment]
        return last.out_features

    @property
    def pooled_values(self) -> int:
        """Values of one image, as the head gets them."""
        return next(layer for layer in self.head if isinstance(layer, nn.Linear)).in_features

    def normalise(self, pixels: Tensor) -> Tensor:
        """The backbone's input: float32 [n, 3, S, S], each channel with about mean 0 and deviation 1."""
        normalised = (pixels.float() - self.mean) / self.std
        # contiguous keeps the exported graph clean: one Transpose, and no layout that follows the input.
        return normalised.permute(0, 3, 1, 2).contiguous()

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(self.normalise(pixels)))
        return logits.float()

    def answer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits float32 [n, classes], and embeddings float32 [n, D] of length 1: the direction of the pooled
        features, of which the head makes the logits."""
        pool, *layers = self.head
        pooled: Tensor = pool(self.backbone(self.normalise(pixels)))
        logits = pooled
        for layer in layers:
            logits = layer(logits)
        lengths = torch.linalg.vector_norm(pooled.float(), dim=1, keepdim=True)
        return logits.float(), pooled.float() / lengths.clamp_min(SHORTEST)


class ConcatPool(nn.Module):
    """[n, C, h, w] -> [n, 2 C]: the largest and the mean activation of each channel."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features.amax((2, 3)), features.mean((2, 3))], dim=1)


def build_network(arch: str, classes: int, size: int) -> Network:
    """A network with random weights. Raises SettingsInvalid when it cannot take images of `size`."""
    backbone = build_backbone(arch, size)
    if not is_timm(arch):
        use_one_tap_of_one_pixel(backbone)
    pool = _pool(backbone)
    head = build_head(pool, _count_pooled(backbone, pool, arch, size), classes)
    if not is_timm(arch):
        return Network(backbone, head)
    images = image_config(arch)
    return Network(backbone, head, images.mean, images.std)


def _pool(backbone: nn.Sequential) -> nn.Module:
    """What makes [n, F] of the backbone's features."""
    if timm_backbone(backbone):
        return nn.Identity()
    return TokenPool() if isinstance(backbone[0], Patches) else ConcatPool()


@torch.no_grad()
def check_size(network: Network, arch: str, size: int, option: str) -> None:
    """Raises SettingsInvalid, naming what asks for it, where the network takes no images of that size.

    Some architectures take one size alone, and each has one that leaves it no feature map.
    """
    pixels = torch.zeros(1, size, size, 3, device=network.mean.device)
    with torch.random.fork_rng(devices=[]), evaluating(network):
        try:
            network(pixels)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise SettingsInvalid(f"{option}: {arch} takes no images of {size} pixels ({error})") from error


def begin_at_prior(network: Network, shares: npt.NDArray[np.float64]) -> None:
    """Gives a new multi-label head the probabilities that labels have without looking, [labels] in [0, 1]:
    else the first steps learn these alone (T. Lin et al., Focal Loss for Dense Object Detection, 2017)."""
    last: nn.Linear = network.head[-1]  # type: ignore[assignment]
    bounded = np.clip(shares, 1e-3, 1 - 1e-3)
    with torch.no_grad():
        last.bias.copy_(torch.tensor(np.log(bounded / (1 - bounded))))


def build_head(pool: nn.Module, values: int, classes: int) -> nn.Sequential:
    """From features to logits [n, classes], where `pool` makes `values` of an image's."""
    return nn.Sequential(
        pool,
        nn.BatchNorm1d(values),
        nn.Dropout(0.25),
        nn.Linear(values, 512),
        nn.ReLU(),
        nn.BatchNorm1d(512),
        nn.Dropout(0.5),
        nn.Linear(512, classes),
    )


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards each module has its own mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def freeze_backbone(network: Network) -> None:
    """Only the head and normalisation layers learn; the statistics of batch norm go on updating."""
    for module in network.backbone.modules():
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad = isinstance(module, _NORMS)


def unfreeze(network: Network) -> None:
    for parameter in network.parameters():
        parameter.requires_grad = True


def parameter_groups(network: Network, lowest_lr: float, highest_lr: float) -> list[dict[str, object]]:
    """Groups for AdamW with their `max_lr`: first layers, last layers (resnet's layer3 on) and head, the
    rates rising by equal factors; weight decay .01, none on normalisation layers and biases."""
    parts = [*_backbone_parts(network.backbone), _weights(network.head)]
    groups: list[dict[str, object]] = []
    for part, max_lr in zip(parts, discriminative(lowest_lr, highest_lr, GROUPS), strict=True):
        for decayed in (True, False):
            members = [p for p, decays in part if decays is decayed and p.requires_grad]
            if members:
                decay = WEIGHT_DECAY if decayed else 0.0
                groups.append({"params": members, "max_lr": max_lr, "lr": max_lr, "weight_decay": decay})
    return groups


def discriminative(lowest: float, highest: float, groups: int) -> list[float]:
    """Learning rates of `groups` parameter groups, from the first layers to the head, by equal factors."""
    if groups == 1:
        return [highest]
    return [lowest * (highest / lowest) ** (group / (groups - 1)) for group in range(groups)]


def adamw(network: Network, lowest_lr: float, highest_lr: float) -> torch.optim.AdamW:
    """AdamW over `parameter_groups` of what is not frozen."""
    groups = parameter_groups(network, lowest_lr, highest_lr)
    return torch.optim.AdamW(groups, betas=(0.95, 0.99), eps=1e-5, fused=True)


def lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Gives what the optimizer remembers of each weight the weight's own memory format.

    After `load_state_dict` it has that of the process that saved it, and torch's fused AdamW goes through
    both in the order of memory: it would take one weight's moments for another's.
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            kept = optimizer.state.get(weight, {})
            for name, values in kept.items():
                if values.shape == weight.shape and values.stride() != weight.stride():
                    kept[name] = torch.empty_like(weight, dtype=values.dtype).copy_(values)


def _backbone_parts(backbone: nn.Sequential) -> list[list[Weight]]:
    """The first two thirds of its layers, and the others."""
    if timm := timm_backbone(backbone):
        depths, undecayed = timm.depths(), timm.undecayed()
        cut = (max(depths.values()) + 1) * 2 // 3
        weights = [(depths[n] < cut, (p, n not in undecayed)) for n, p in timm.model.named_parameters()]
        return [[weight for early, weight in weights if early is wanted] for wanted in (True, False)]
    stages = [stage for stage in backbone if any(True for _ in stage.parameters())]
    cut = len(stages) * 2 // 3
    return [_weights(nn.ModuleList(part)) for part in (stages[:cut], stages[cut:])]


def _weights(part: nn.Module) -> list[Weight]:
    return [
        (parameter, not isinstance(module, _NORMS) and not name.endswith(_UNDECAYED))
        for module in part.modules()
        for name, parameter in module.named_parameters(recurse=False)
    ]


def _count_pooled(backbone: nn.Sequential, pool: nn.Module, arch: str, size: int) -> int:
    """Values of one image, as the head gets them."""
    with torch.random.fork_rng(devices=[]), torch.no_grad(), evaluating(backbone):
        try:
            pooled = pool(backbone(torch.zeros(1, 3, size, size)))
        except (AssertionError, RuntimeError) as error:
            raise SettingsInvalid(
                f"--size {size} does not fit {arch}: {error}"
                if is_timm(arch)
                else f"--size {size} is too small for {arch}: no feature map is left ({error})"
            ) from error
    if pooled.dim() != 2:
        raise SettingsInvalid(
            f"--arch {arch}: it gives features of the shape {list(pooled.shape)}, not [n, F]"
        )
    return int(pooled.shape[1])
