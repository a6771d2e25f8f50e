"""The options of capture: those that server and scorer share, and what each of them has beside."""

import os
from typing import Self

from pydantic import Field, model_validator

from fovea.capture.reasons import REASONS
from fovea.capture.sampling import Budget
from fovea.command_line import flag
from fovea.settings import ProgramSettings, variable


class CaptureOptions(ProgramSettings):
    """Of a program that answers."""

    capture: str | None = Field(
        None,
        min_length=1,
        description="a folder or a bucket's prefix into which a chosen sample of the answers is written, "
        "with the images; unless set, none is",
    )
    capture_images: bool = Field(
        True, description="write the images' bytes too; without them, their sha256 and the answers alone"
    )
    capture_share: float = Field(
        0.01, ge=0, le=1, description="share of all answers that may be captured whatever they are"
    )
    capture_margin: float = Field(
        0.1,
        ge=0,
        le=1,
        description="an answer may be captured too whose best probability is by less than this above the "
        "second; of a multi-label model, one with a label that is by less than this more likely yes than no, "
        "or no than yes, once the odds at its threshold are taken as even",
    )

    @model_validator(mode="after")
    def _something_is_captured(self) -> Self:
        fields = {name: each for name, each in type(self).model_fields.items() if name.startswith("capture_")}
        given = [name for name, field in fields.items() if getattr(self, name) != field.default]
        # In a pod's environment they may stand beside a --capture that is turned off.
        given = [name for name in given if variable(type(self), name) not in os.environ]
        if given and self.capture is None:
            raise ValueError(f"{flag(given[0])} is for --capture, which is not given")
        return self


class HourlyCaptureOptions(CaptureOptions):
    """Of a server, which has no end."""

    capture_per_hour: int = Field(600, ge=1, description="answers that are captured in an hour, at most")
    capture_bytes_per_hour: int = Field(
        256 * 1024 * 1024,
        ge=1,
        description="bytes of their images, at most; an image larger than the part of --capture-seconds "
        "is not captured",
    )
    capture_seconds: float = Field(
        300, ge=1, le=3600, description="seconds that a file is of; what a kill loses, and takes of memory"
    )
    capture_retention_days: float | None = Field(
        None,
        gt=0,
        le=36_500,
        description="captures of --capture that are older are removed, whoever wrote them; unless set, none",
    )

    @model_validator(mode="after")
    def _each_reason_has_its_part(self) -> Self:
        images = self.capture_window.images
        if self.capture is not None and images < len(REASONS):
            raise ValueError(
                f"--capture-per-hour {self.capture_per_hour} leaves {images} of --capture-seconds "
                f"{self.capture_seconds:g}, and there must be {len(REASONS)}, one for each reason: raise one "
                "of the two"
            )
        return self

    @property
    def capture_window(self) -> Budget:
        """What is kept of --capture-seconds."""
        share = self.capture_seconds / 3600
        return Budget(int(self.capture_per_hour * share), int(self.capture_bytes_per_hour * share))


class RunCaptureOptions(CaptureOptions):
    """Of a scorer's run."""

    capture_per_run: int = Field(1000, ge=1, description="answers of a run that are captured, at most")
    capture_bytes_per_run: int = Field(
        1024**3,
        ge=1,
        description="bytes of their images, at most; an image larger than its shard's part is not captured",
    )
