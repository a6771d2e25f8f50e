"""What the commands take that examine what is there: a released model, a run's network."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import CliPositionalArg, NoDecode

from fovea.model.bundle import Precision
from fovea.settings import EACH_WHOLE
from trainer.options.places import each_given
from trainer.options.program import TrainerOptions


class EvaluationOptions(TrainerOptions):
    precision: Precision = Field(
        "fp32", description="which of the bundle's models: fp32, fp16, int8 or int8-full"
    )
    part: Literal["val", "test"] | None = Field(
        None,
        description="of the --data that the model was trained on, split as then: val, what was held out, or "
        "test, what nothing was chosen by; default: a part test or val that the data have as such, else all",
    )
    min_accuracy: float | None = Field(
        None,
        ge=0,
        le=1,
        description="exit with 65 where the accuracy, or the mean average precision of several labels an "
        "image, is below this; default: any is good",
    )
    output: Path | None = Field(
        None,
        description="folder for evaluation.json, where an older one is replaced; default: one named after "
        "the time, below runs/evaluate",
    )


class ComparisonOptions(TrainerOptions):
    against: str = Field(
        min_length=1,
        description="the model to compare with, as models/pets/2, or a model's folder of versions, whose "
        "latest is taken; a path or bucket URI",
    )
    precision: Precision = Field(
        "fp32", description="which of the bundles' models: fp32, fp16, int8 or int8-full"
    )
    output: Path | None = Field(
        None,
        description="folder for compare.html and compare.json, where older ones are replaced; default: one "
        "named after the time, below runs/compare",
    )


class GuardOptions(TrainerOptions):
    """When a model is worse than another."""

    confidence: float = Field(
        0.95,
        ge=0.5,
        lt=1,
        description="a model is worse than another where the interval of the difference of their accuracies "
        "on the same images, at this confidence, lies below 0",
    )
    guard_class: Annotated[tuple[str, ...], NoDecode, EACH_WHOLE, BeforeValidator(each_given)] = Field(
        (),
        description="a class whose recall may not become worse either; for each a --guard-class of its own",
    )


class PromotionOptions(TrainerOptions):
    """Who moves `latest`, and why."""

    by: str | None = Field(None, min_length=1, description="who does it; default: user@host")
    why: str = Field("by hand", min_length=1, description="why; the record keeps it")


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


class LabellingOptions(TrainerOptions):
    captures: CliPositionalArg[str] = Field(
        "",
        validate_default=True,
        min_length=1,
        description="the folder or bucket's prefix that --capture of server or scorer writes to (required)",
    )
    models: str = Field(
        min_length=1,
        description="the model whose answers they are, as models/pets, or a version of it; the classes are "
        "those of its latest version, or of that one; a path or bucket URI",
    )
    limit: int = Field(2000, ge=1, le=10_000, description="images on the page: those that would teach most")
    serve: bool = Field(
        False,
        description="serve the page on loopback, until Ctrl-C, and save each answer as it is given; else "
        "the page saves them by download",
    )
    port: int = Field(0, ge=0, le=65_535, description="of --serve; 0 is a free one")
    output: Path | None = Field(
        None,
        description="folder for label.html, where an older one is replaced, or with --serve for "
        "corrections.csv; images that a corrections.csv in it has already are left out; default: one named "
        "after the time, below runs/label",
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
