"""The settings of `python -m server.triton`: each is a flag, a variable FOVEA_TRITON_... and a default."""

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from fovea.images.preprocess import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from fovea.logs import LogFormat, LogLevel
from fovea.model.bundle import Precision
from fovea.settings import ProgramSettings
from server.choices import VersionChoice, number_of

PROGRAM: Final = "python -m server.triton"

MAX_BATCH_SIZES: Final = {"cpu": 16, "cuda": 64}
"""Unless set, as the server has them."""


class TritonSettings(ProgramSettings):
    """Lays a published model out in a model repository, for NVIDIA's Triton to serve."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_TRITON_")

    models: str = Field(
        min_length=1, description="the model's folder of versions: a path, s3://, gs://, az://"
    )
    repository: Path = Field(description="Triton's model repository, where the model gets a folder")
    model_version: VersionChoice = Field(
        "latest", description="the version that Triton serves: latest, or its number"
    )
    model_cache: Path | None = Field(
        None, description="where a bucket's models are kept; unless set, fovea in the user's cache folder"
    )
    with_onnx: bool = Field(
        False,
        description="add NAME_onnx, on Triton's onnxruntime backend, for callers that send pixels",
    )
    follow: bool = Field(
        False,
        description="stay, and lay out each newer version; those before the last two are removed",
    )
    watch_interval_s: float = Field(
        10, gt=0, le=86_400, description="seconds between looks for a new version, with --follow"
    )

    provider: Literal["cpu", "cuda"] = Field("cpu", description="where Triton runs the model")
    precision: Precision = Field("fp32", description="fp16, int8 and int8-full where the bundle has them")
    instances: int = Field(
        1, ge=1, le=1024, description="processes with the model; on a CPU, one for each core computes most"
    )
    max_batch_size: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="images computed together, at most; unless set, 16 on a CPU, 64 on a GPU",
    )
    max_queue_delay_ms: float = Field(
        0, ge=0, le=10_000, description="how long a batch that is not full waits for more, in milliseconds"
    )
    queue_capacity: int = Field(
        256, ge=1, le=2**31 - 1, description="requests that wait; one more is refused at once"
    )
    queue_timeout_ms: float = Field(
        10_000,
        gt=0,
        le=3_600_000,
        description="how long a request waits before it is refused, in milliseconds; it may ask for less",
    )
    max_image_bytes: int = Field(MAX_IMAGE_BYTES, ge=1, description="bytes of one encoded image")
    max_image_pixels: int = Field(MAX_IMAGE_PIXELS, ge=1, description="pixels of one image, width x height")

    log_level: LogLevel = Field("info", description="debug, info, warning or error")
    log_format: LogFormat = Field("auto", description="auto is text on a terminal, JSON elsewhere")

    @field_validator("repository", mode="before")
    @classmethod
    def _path_of_a_folder(cls, value: object) -> object:
        if value == "":  # would be the working folder
            raise ValueError("must be the path of a folder")
        return value

    @model_validator(mode="after")
    def _sums_are_exact_everywhere(self) -> "TritonSettings":
        if self.with_onnx and self.precision == "int8-full":
            raise ValueError(
                "--with-onnx cannot have --precision int8-full: Triton's onnxruntime backend has no setting "
                "that keeps its sums right on processors without VNNI; int8 is right on all"
            )
        return self

    @property
    def version(self) -> int | None:
        """The version's number, None for the latest."""
        return number_of(self.model_version)

    @property
    def batch_size(self) -> int:
        """The most images that are computed together."""
        return self.max_batch_size or MAX_BATCH_SIZES[self.provider]
