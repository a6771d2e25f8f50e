"""What lr-find and train share: how images are read, the model and the range test."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self, TypedDict

from pydantic import Field, ModelWrapValidatorHandler, field_validator, model_validator

from fovea.images.spec import Fit, PreprocessSpec
from fovea.model.versions import default_cache
from fovea.settings import NumbersCommaSeparated
from trainer.options.architectures import ARCHITECTURES, TIMM, TIMM_PREFIX, is_known, is_timm
from trainer.options.places import sources_of
from trainer.options.program import AutoOrSwitch, TrainerOptions


class ImpliedOptions(TypedDict, total=False):
    """Options that others set where nothing else is said."""

    weights: str
    size: int
    resize: int
    batch_size: int
    num_steps: int
    max_epochs: int
    min_crop: float
    max_warp: float
    max_lighting: float
    flip: bool
    end_lr: float


DIGITS: Final[ImpliedOptions] = {
    "weights": "none",
    "size": 24,
    "resize": 24,
    "batch_size": 32,
    "num_steps": 60,
    "max_epochs": 7,
    "min_crop": 0.85,
    "max_warp": 0.0,
    "max_lighting": 0.0,
    "flip": False,
}
"""What `--data digits` implies where nothing else is said: small grey images, and a mirrored 5 is no 5."""

SMALLEST_SIZE: Final = 8
"""Side of what a model sees, in pixels."""
SMALLEST_ALPHA, LARGEST_ALPHA = 1e-3, 1e4
"""Of mixup and cutmix."""

LINEAR_END_LR: Final = 0.01
"""A hundred equal steps up to 10 would be over after the first."""


def implied_by(data: object, mode: object) -> ImpliedOptions:
    """The options that --data and --mode set where nothing else is said."""
    linear: ImpliedOptions = {"end_lr": LINEAR_END_LR} if mode == "linear" else {}
    digits: ImpliedOptions = DIGITS if data and sources_of(data)[0] == "digits" else {}
    return {**digits, **linear}


def _last(values: dict[str, Any]) -> ImpliedOptions:
    """--sizes say --size, where they are numbers; what is wrong with them is found later."""
    sizes = values.get("sizes")
    sizes = sizes.split(",") if isinstance(sizes, str) else sizes
    last = str(sizes[-1]).strip() if sizes else ""
    return {"size": int(last)} if last.isdecimal() else {}


def written(values: Sequence[object]) -> str:
    """As on the command line."""
    return ",".join(map(str, values))


class CacheOptions(TrainerOptions):
    cache_dir: Path = Field(
        default_factory=default_cache, description="folder for decoded images and what comes from buckets"
    )


class ImageOptions(CacheOptions):
    """How images are read."""

    max_bad_fraction: float = Field(
        0.01, ge=0, le=1, description="largest share of undecodable files that are left out and not fatal"
    )


class RecipeOptions(ImageOptions):
    """What lr-find and train share: the model and the range test."""

    val_fraction: float = Field(
        0.2, gt=0, lt=1, description="share of each class that is held out, where the data is not split"
    )
    test_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of each class that chooses nothing and that the figures are told of, where the "
        "data has no part test; 0 for none: then they are told of the held-out images",
    )
    group: str | None = Field(
        None,
        min_length=1,
        description="column of the CSV file that says which images belong together, of one patient, camera "
        "or session: no group is on both sides of the split",
    )
    group_pattern: str | None = Field(
        None,
        min_length=1,
        description="regular expression that finds the same in an image's path, as the source has it: what "
        "its one pair of parentheses holds, or the one named group, as in '(patient[0-9]+)_'",
    )
    arch: str = Field(
        "resnet34",
        description=f"architecture, one of {', '.join(ARCHITECTURES)}; or {TIMM_PREFIX}NAME, with the extra "
        f"timm, where NAME is one of {', '.join(TIMM)}, and may have a tag of timm's, as in resnet34.a1_in1k",
    )
    weights: str = Field(
        "imagenet",
        description="what to start from: imagenet, none, a file (safetensors, or a torch state dict or "
        "checkpoint), or a bucket URI of one",
    )
    weights_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="the weights file must have this digest"
    )
    size: int = Field(
        224, ge=SMALLEST_SIZE, le=2048, description="side of the square that the model sees, in pixels"
    )
    sizes: NumbersCommaSeparated = Field(
        (),
        description="progressive resizing: train at these sizes one after another, as in 128,224, the last "
        "of which is --size; the epochs are divided over them; default: all at --size",
    )
    resize: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="shorter side before that square is cut out, or with --fit pad the longer one in "
        "training; default: size * 8 / 7, or as timm's weights were made",
    )
    fit: Fit = Field(
        "crop",
        description="how images become square: crop cuts the centre out, pad shows them whole between bars",
    )
    min_crop: float = Field(
        0.35, gt=0, le=1, description="augmentation: smallest share of the area that a random crop keeps"
    )
    max_rotation: float = Field(10, ge=0, le=180, description="augmentation: largest rotation, in degrees")
    max_warp: float = Field(
        0.2, ge=0, le=0.5, description="augmentation: how far perspective may tilt an image, 0 to 0.5"
    )
    max_lighting: float = Field(
        0.2, ge=0, lt=1, description="augmentation: largest change of brightness and of contrast"
    )
    flip: bool = Field(True, description="augmentation: mirror half of the images")
    mixup: float = Field(
        0.0,
        ge=0,
        description="lay each image over another of its batch, in shares drawn from a Beta distribution with "
        "this alpha, and their targets too; 0 for none, usual are 0.2 to 0.4",
    )
    cutmix: float = Field(
        0.0,
        ge=0,
        description="put a rectangle of another image of its batch into each, of a share drawn with this "
        "alpha; 0 for none, usual is 1; with --mixup too, each batch gets one of both",
    )
    batch_size: int = Field(64, ge=2, le=65536, description="images that are computed at once")
    accumulate: int = Field(
        1, ge=1, le=65536, description="batches whose gradients are added up for one optimizer step"
    )
    sampler: Literal["shuffle", "balanced"] = Field(
        "shuffle", description="shuffle: each image once an epoch; balanced: each class as often as any other"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: an image's loss counts the more, the fewer images its class has"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of each target that is spread over all classes"
    )
    max_grad_norm: float | None = Field(
        None, gt=0, description="longer gradients are clipped to this norm; default: none are"
    )
    compile: bool = Field(
        False, description="compile the network with torch.compile: slow to start, faster on a GPU"
    )
    channels_last: AutoOrSwitch = Field(
        "auto",
        description="lay out the weights and all that is computed with channels last; auto: on a CUDA "
        "device, and on a CPU from --size 128 on",
    )
    frozen_epochs: int = Field(
        1, ge=0, description="epochs that train the new head alone, before the others; not without weights"
    )
    fallback_lr: float = Field(
        1e-3, gt=0, description="learning rate where the range test's curve suggests none"
    )
    mode: Literal["exponential", "linear"] = Field(
        "exponential", description="range test: how the learning rate rises; linear is the paper's own"
    )
    start_lr: float = Field(1e-7, gt=0, description="range test: first learning rate")
    end_lr: float = Field(
        10.0, gt=0, description="range test: last learning rate; by default 0.01 with --mode linear"
    )
    num_steps: int = Field(
        100, ge=2, le=100_000, description="range test: optimizer steps from first to last"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the split, the weights and all randomness")

    @model_validator(mode="wrap")
    @classmethod
    def _fill_in_what_is_implied(cls, values: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        """What is implied is not in `model_fields_set`: nobody gave it."""
        implied = {
            name: value
            for name, value in (implied_by(values.get("data"), values.get("mode")) | _last(values)).items()
            if name in cls.model_fields and name not in values
        }
        if "resize" in implied:
            implied["resize"] = {**implied, **values}["size"]  # a digit fills its picture
        settings = make({**implied, **values})
        settings.__pydantic_fields_set__.difference_update(implied)
        return settings

    @field_validator("sizes")
    @classmethod
    def _sizes_rise(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if sizes and (len(sizes) < 2 or sizes[0] < SMALLEST_SIZE or list(sizes) != sorted(set(sizes))):
            raise ValueError(f"it should be two or more that rise, from {SMALLEST_SIZE} on, as in 128,224")
        return sizes

    @field_validator("mixup", "cutmix")
    @classmethod
    def _alpha_can_be_drawn_from(cls, alpha: float) -> float:
        """In float32, of which far smaller and far larger ones give no shares, or always the same."""
        if alpha and not SMALLEST_ALPHA <= alpha <= LARGEST_ALPHA:
            raise ValueError(f"it should be 0, or {SMALLEST_ALPHA:g} to {LARGEST_ALPHA:g}")
        return alpha

    @field_validator("group_pattern")
    @classmethod
    def _pattern_names_one_group(cls, pattern: str | None) -> str | None:
        try:
            compiled = re.compile(pattern or "()")
        except re.error as error:
            raise ValueError(f"it should be a regular expression: {error}") from None
        if "group" not in compiled.groupindex and compiled.groups != 1:
            raise ValueError(
                f"it has {compiled.groups} pairs of parentheses and should have one about what names the "
                "group, as in '(patient[0-9]+)_'; others are written (?:...), or the one is called (?P<group>"
                "...)"
            )
        return pattern

    @field_validator("arch")
    @classmethod
    def _arch_is_known(cls, name: str) -> str:
        if not is_known(name):
            known = [f"{TIMM_PREFIX}{known}" for known in TIMM] if is_timm(name) else ARCHITECTURES
            near = difflib.get_close_matches(name, known, n=1) or [known[0] if is_timm(name) else "resnet34"]
            raise ValueError(f"it should be an architecture that --help lists, such as {near[0]}")
        return name

    @model_validator(mode="after")
    def _groups_are_told_once(self) -> "RecipeOptions":
        if self.group and self.group_pattern:
            raise ValueError("--group and --group-pattern both tell the groups: give one of them")
        return self

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> "RecipeOptions":
        if self.val_fraction + self.test_fraction >= 1:
            held = f"--val-fraction {self.val_fraction:g} and --test-fraction {self.test_fraction:g}"
            raise ValueError(f"{held} should leave something to train on")
        if self.start_lr >= self.end_lr:
            raise ValueError(f"--start-lr {self.start_lr:g} should be below --end-lr {self.end_lr:g}")
        of_this_run = getattr(self, "continue_from", None) is None  # else --size is that run's
        if of_this_run and self.sizes and self.sizes[-1] != self.size:
            raise ValueError(f"--sizes {written(self.sizes)} should end with --size {self.size}")
        if of_this_run and self.resize is not None and self.resize < self.size:
            raise ValueError(f"--resize {self.resize} should be at least --size {self.size}")
        return self

    @property
    def preprocess(self) -> PreprocessSpec:
        """What serving will do to an image, and what is done to held-out ones here."""
        resize = self.size if self.fit == "pad" else self._resize
        return PreprocessSpec(size=self.size, resize=resize, fit=self.fit)

    @property
    def preprocess_in_training(self) -> PreprocessSpec:
        """What is done to images that are trained on, before they are augmented: all that serving sees, and
        more, so that the augmentation has what to cut from."""
        return PreprocessSpec(size=self._resize, resize=self._resize, fit=self.fit)

    @property
    def _resize(self) -> int:
        return self.resize or round(self.size * 8 / 7)
