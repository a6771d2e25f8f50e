"""What is done to an image, written down: part of the model bundle."""

import hashlib
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Interpolation = Literal["bilinear", "bicubic", "lanczos"]
Fit = Literal["crop", "pad"]
Sample = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Sample, Sample, Sample]
"""Red, green and blue."""

PAD_COLOUR: Final = (124, 116, 104)
"""The mean of ImageNet's images, which networks that were trained on them take for nothing."""


class PreprocessSpec(BaseModel):
    """What happens between an image file and the model's input.

    The image is made RGB (transparency onto white, more than 8 bits scaled to 8, see `values`) and
    resized, horizontally first, so that its shorter side has `resize` pixels; its centre `size` x `size` is
    cut out and turned upright as its format says, see `metadata`.

    Where `fit` is "pad", nothing is cut: the longer side gets `size` pixels and the other as many as keep the
    proportions that the file's header says, rounded (a half to the even number), and one at least. The image
    is turned upright and laid into the middle of a square of `pad_colour`, with the rounded half of what is
    left over to its left or above, as Pillow's `ImageOps.pad` does. This has a format of its own, so that
    readers which would cut do not read it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2] = Field(default=1, description="2 where images are padded")
    size: int = Field(ge=1, le=2048, description="side of the square crop, in pixels")
    resize: int = Field(
        ge=1, le=4096, description="shorter side after resizing, in pixels; where images are padded, `size`"
    )
    interpolation: Interpolation = "bilinear"
    draft: bool = Field(
        default=True,
        description="large JPEGs are decoded at a reduced scale that still has twice the target size",
    )
    fit: Fit = Field(default="crop", description="how an image that is not square becomes so")
    pad_colour: Colour = Field(default=PAD_COLOUR, description="red, green and blue, where images are padded")

    @model_validator(mode="before")
    @classmethod
    def _format_follows(cls, values: Any) -> Any:
        if isinstance(values, dict) and "format" not in values:
            return {"format": 2 if values.get("fit") == "pad" else 1, **values}
        return values

    @model_validator(mode="after")
    def _crop_fits(self) -> "PreprocessSpec":
        if self.size > self.resize:
            raise ValueError(f"the crop ({self.size}) is larger than the resized image ({self.resize})")
        if (self.format == 2) != (self.fit == "pad"):
            raise ValueError(f"format {self.format} is not that of images that are fitted by {self.fit}")
        if self.fit == "pad" and self.size != self.resize:
            raise ValueError(f"padded images are resized to {self.size}, not to {self.resize}")
        return self

    @model_serializer(mode="wrap")
    def _as_before_there_was_padding(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A crop's is what it was, for readers that know of no more, and has the digest that it had."""
        fields: dict[str, Any] = serialize(self)
        added = () if self.fit == "pad" else ("fit", "pad_colour")
        return {name: value for name, value in fields.items() if name not in added}

    def __str__(self) -> str:
        """For a person."""
        if self.fit == "crop":
            return f"shorter side {self.resize}, crop {self.size}, {self.interpolation}"
        colour = "#{:02x}{:02x}{:02x}".format(*self.pad_colour)
        return f"longer side {self.size}, padded with {colour}, {self.interpolation}"

    @property
    def digest(self) -> str:
        """sha256 of the specification, hexadecimal: equal ones mean equal pixels, where
        `fovea.images.formats.image_path` is equal too."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
