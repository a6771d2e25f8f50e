"""What a command reads, and where it writes."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from trainer.options.program import TrainerOptions


class DataOptions(TrainerOptions):
    data: str = Field(
        min_length=1,
        description="a folder CLASS/*.jpg, a folder with train/ and val/, a CSV path,label[,split], a bucket "
        "URI of any of these, or `digits`: 1,797 real handwritten digits",
    )


class ModelsOptions(TrainerOptions):
    models: str = Field(
        min_length=1, description="where to publish: the model's folder of versions, a path or bucket URI"
    )


class BundleOptions(TrainerOptions):
    bundle: CliPositionalArg[str] = Field(
        "",
        validate_default=True,
        min_length=1,
        description="a released model, as models/pets/3, or a model's folder of versions, whose latest is "
        "taken; a path or bucket URI (required)",
    )


class FinishedRunOptions(TrainerOptions):
    run: Path = Field(description="folder of the run")


class OutputOptions(TrainerOptions):
    output: Path | None = Field(
        None,
        description="folder for lr_find.png and lr_find.json, where older ones are replaced; default: one "
        "named after the time, below runs/lr-find",
    )
