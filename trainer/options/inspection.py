"""What the commands take that examine what is there: a released model, a run's network."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from fovea.model.bundle import Precision
from trainer.options.program import TrainerOptions


class EvaluationOptions(TrainerOptions):
    precision: Precision = Field(
        "fp32", description="which of the bundle's models: fp32, fp16, int8 or int8-full"
    )
    min_accuracy: float | None = Field(
        None,
        ge=0,
        le=1,
        description="exit with 65 where the accuracy is below this; default: any is good",
    )
    output: Path | None = Field(
        None,
        description="folder for evaluation.json, where an older one is replaced; default: one named after "
        "the time, below runs/evaluate",
    )


class LabelErrorOptions(TrainerOptions):
    folds: int = Field(
        4,
        ge=2,
        le=100,
        description="parts of the images; each is held out of a training, which then says what they show",
    )
    output: Path | None = Field(
        None,
        description="folder for suspects.html, suspects.json and corrections.csv, where older ones are "
        "replaced, and a search that was broken off goes on; default: one named after the time, below "
        "runs/labels",
    )


class LookOptions(TrainerOptions):
    image: CliPositionalArg[str] = Field(
        "",
        validate_default=True,
        min_length=1,
        description="the image to look at; a path or bucket URI (required)",
    )
    run: Path = Field(
        description="folder of the run whose network looks, or any other with a run's checkpoint.pt"
    )
    output: Path | None = Field(
        None,
        description="folder for the page, which is named IMAGE.html and replaces one of that name; default: "
        "one named after the time, below runs/look",
    )
