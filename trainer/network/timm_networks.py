"""timm's networks, without their classifiers, and the images that their weights were made of.

timm is an extra, and imported where it is asked for alone: everything else works without it.
"""

from collections import OrderedDict
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, cast, get_args

from torch import Tensor, nn

from fovea.errors import SettingsInvalid
from fovea.images.spec import Interpolation, PreprocessSpec
from trainer.network.tokens import patch_maps
from trainer.options.architectures import TIMM_PREFIX, is_timm

Colours = tuple[float, float, float]


@dataclass(frozen=True)
class ImageConfig:
    """How the images were prepared that a network's weights were made of."""

    mean: Colours
    std: Colours
    interpolation: Interpolation
    crop: float
    """the square's share of the shorter side"""
    size: int
    fixed: bool
    """whether a network for another size has to be built as such"""


class Place(NamedTuple):
    """A layer of timm's whose output is maps of that many channels."""

    name: str
    layer: nn.Module
    channels: int


class TimmBackbone(nn.Module):
    """[n, 3, S, S] -> [n, F]: what the network's own classifier would get."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model
        self.features = nn.Identity()
        """where the last features can be looked at, which are no module's output"""

    def forward(self, images: Tensor) -> Tensor:
        pooled: Tensor = self.model.forward_head(self.features(self.model.forward_features(images)))
        return pooled

    @property
    def other_tokens(self) -> int:
        """Of a transformer's tokens the first ones, which are no patches."""
        return int(getattr(self.model, "num_prefix_tokens", None) or 0)

    def places(self) -> list[Place]:
        """In the order in which an image passes them; the features at the end are the last."""
        layers = dict(self.model.named_modules())
        described = [info for info in getattr(self.model, "feature_info", ()) if info["module"] in layers]
        places = [Place(i["module"], layers[i["module"]], i["num_chs"]) for i in described]
        return [*places, Place("features", self.features, int(self.model.num_features))]

    def as_maps(self, values: object, channels: int) -> Tensor | None:
        """[n, channels, h, w] of a layer's output, whose channels or tokens may come last; None of others."""
        if not isinstance(values, Tensor):
            return None
        if values.dim() == 4 and channels in {values.shape[1], values.shape[3]}:
            return values if values.shape[1] == channels else values.permute(0, 3, 1, 2)
        if values.dim() == 3 and values.shape[2] == channels:
            return patch_maps(values, self.other_tokens)
        return None

    def depths(self) -> dict[str, int]:
        """The place of each parameter's layer between the image and the features, from 0."""
        from timm.models import group_parameters

        names = [name for name, _ in self.model.named_parameters()]
        if hasattr(self.model, "group_matcher"):
            return cast(
                "dict[str, int]",
                group_parameters(self.model, self.model.group_matcher(coarse=True), reverse=True),
            )
        layers = list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))
        return {name: layers.index(".".join(name.split(".")[:2])) for name in names}

    def undecayed(self) -> set[str]:
        """Parameters that weight decay would harm: what timm says, and what multiplies or is added."""
        said = self.model.no_weight_decay() if hasattr(self.model, "no_weight_decay") else set()
        return {n for n, p in self.model.named_parameters() if n in said or p.dim() < 2 or n.endswith("bias")}


def image_config(arch: str) -> ImageConfig:
    """Raises SettingsInvalid where timm is missing, or has no such weights."""
    config = pretrained(arch)
    known = config.interpolation in get_args(Interpolation)
    return ImageConfig(
        mean=config.mean,
        std=config.std,
        interpolation=cast("Interpolation", config.interpolation if known else "bicubic"),
        crop=config.crop_pct,
        size=config.input_size[1],
        fixed=config.fixed_input_size,
    )


def preprocess_for(arch: str, spec: PreprocessSpec, size: int, resize: int | None) -> PreprocessSpec:
    """For timm's networks as the images were prepared that their weights were made of, as far as the settings
    leave it open; for others as it is. `spec` is serving's, whose square has `size` pixels, or training's,
    which keeps what is around that."""
    if not is_timm(arch):
        return spec
    images = image_config(arch)
    spec = spec.model_copy(update={"interpolation": images.interpolation})
    if resize is not None or spec.fit == "pad":
        return spec
    shorter = round(size / images.crop)
    return spec.model_copy(update={"resize": shorter, "size": size if spec.size == size else shorter})


def pretrained(arch: str) -> Any:
    """timm's own description of an architecture's weights: a PretrainedCfg."""
    timm = _timm(arch)
    try:
        config = timm.get_pretrained_cfg(arch.removeprefix(TIMM_PREFIX))
    except RuntimeError as error:  # a tag that is none
        raise SettingsInvalid(f"--arch {arch}: {error}") from error
    if config is None:
        raise SettingsInvalid(f"--arch {arch}: timm {timm.__version__} has none of that name")
    return config


def timm_version() -> str | None:
    """Of the one that is installed; None where there is none."""
    try:
        return version("timm")
    except PackageNotFoundError:
        return None


def build_timm(arch: str, size: int) -> nn.Sequential:
    """With random weights, for images of `size` pixels. Raises SettingsInvalid where it takes no such."""
    config = image_config(arch)
    built_for = {"img_size": size} if config.fixed and size != config.size else {}
    try:
        model = _timm(arch).create_model(arch.removeprefix(TIMM_PREFIX), num_classes=0, **built_for)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        if not built_for:
            raise
        raise SettingsInvalid(f"--size {size}: {arch} takes images of {config.size} pixels alone") from error
    _check_patches(model, arch, size)
    return nn.Sequential(OrderedDict(timm=TimmBackbone(model)))


def _check_patches(model: nn.Module, arch: str, size: int) -> None:
    """What is left over of images that patches do not divide, timm would not look at."""
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    side = patch[0] if isinstance(patch, tuple) else None
    if isinstance(side, int) and size % side:
        raise SettingsInvalid(
            f"--size {size}: {arch} cuts images into patches of {side} pixels; it should be a multiple of "
            f"that, such as {max(1, size // side) * side}"
        )


def timm_backbone(backbone: nn.Sequential) -> TimmBackbone | None:
    """What is in it, if it is timm's."""
    return backbone[0] if isinstance(backbone[0], TimmBackbone) else None


def _timm(arch: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise SettingsInvalid(f"--arch {arch}: timm is missing: pip install 'fovea-vision[timm]'") from error
    return timm
