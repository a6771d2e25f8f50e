"""The options of capture that server and scorer share."""

from pydantic import Field

from fovea.settings import ProgramSettings


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
        0.01, ge=0, le=1, description="share of all answers that is captured whatever they are"
    )
    capture_margin: float = Field(
        0.1,
        ge=0,
        le=1,
        description="an answer is captured too whose best probability is by less than this above the second",
    )
