"""What a training run takes beside its recipe: how long, on which schedule, what it releases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from fovea.command_line import flag
from fovea.model.bundle import Precision
from fovea.settings import CommaSeparated
from trainer.options.program import TrainerOptions

TRACKERS: Final = ("tensorboard", "mlflow")
"""That --log-to knows."""
Promote = Literal["always", "better", "never"]
Schedule = Literal["onecycle", "triangular", "triangular2", "exp_range", "constant"]
CYCLICAL: Final[tuple[Schedule, ...]] = ("triangular", "triangular2", "exp_range")
OF_SCHEDULES: Final[Mapping[str, tuple[Schedule, ...]]] = {
    "gamma": ("exp_range",),
    "step_size": CYCLICAL,
    "base_lr": CYCLICAL,
}
"""Options by the schedules that they shape; others have no use for them."""


def _auto_or_rate(value: object) -> object:
    if value == "auto":
        return value
    return _positive(value, float, "auto or a number above 0")


def _auto_or_count(value: object) -> object:
    if value == "auto":
        return value
    return _positive(value, int, "auto or a whole number from 1")


def _positive(value: object, kind: type[float] | type[int], allowed: str) -> float | int:
    try:
        number = kind(str(value))
    except ValueError:
        raise ValueError(f"it should be {allowed}") from None
    if not 0 < number < float("inf"):
        raise ValueError(f"it should be {allowed}")
    return number


AutoOrRate = Annotated[Literal["auto"] | float, BeforeValidator(_auto_or_rate)]
AutoOrCount = Annotated[Literal["auto"] | int, BeforeValidator(_auto_or_count)]


class FitOptions(TrainerOptions):
    """How long a network is trained, and how the learning rate moves."""

    lr: AutoOrRate = Field("auto", description="learning rate: auto (by the range test) or a number")
    epochs: AutoOrCount = Field(
        1, description="how many, or auto: 1, 2, 4, ... more until the held-out loss stops falling"
    )
    schedule: Schedule = Field(
        "onecycle",
        description="how the learning rate moves over the steps of a phase; of triangles, triangular2 halves "
        "each after the first, and exp_range lowers them at every step",
    )
    base_lr: float | None = Field(
        None,
        gt=0,
        description="triangles: the lowest learning rate; default: the range test's, or a quarter of --lr",
    )
    step_size: int | None = Field(
        None,
        ge=1,
        description="triangles: optimizer steps of half a one; default: one triangle a phase, or three that "
        "become lower",
    )
    gamma: float | None = Field(
        None,
        gt=0,
        le=1,
        description="exp_range: what each step leaves of the triangles' height; default: a phase leaves a "
        "hundredth",
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="score and release an exponential moving average of the weights, with this decay a step, "
        "such as 0.999; default: the weights as they are",
    )
    max_epochs: int = Field(31, ge=1, description="--epochs auto ends after this many at the latest")
    checkpoint_every: int = Field(
        500, ge=1, description="optimizer steps between checkpoints; one is made after each epoch anyway"
    )

    @model_validator(mode="after")
    def _schedule_fits(self) -> "FitOptions":
        unused = self.unused_by_schedule
        if unused and getattr(self, "continue_from", None) is None:  # else the schedule may be that run's
            raise ValueError(f"{unused}, not of {self.schedule}")
        return self

    @property
    def unused_by_schedule(self) -> str | None:
        """The first option that the schedule has no use for, and the schedules that have."""
        for name, schedules in OF_SCHEDULES.items():
            value = getattr(self, name)
            if value is not None and self.schedule not in schedules:
                return f"{flag(name)} {value:g} is of --schedule {' or '.join(schedules)}"
        return None


class RunOptions(TrainerOptions):
    continue_from: Path | None = Field(
        None, description="a run's id or folder: start from the network that it ended with, head and all"
    )
    precisions: CommaSeparated = Field(
        ("fp32",),
        description="what to release: fp32 always, and beside it fp16, int8, int8-full where accuracy holds",
    )
    max_accuracy_drop: float = Field(
        0.005,
        ge=0,
        le=1,
        description="largest share of accuracy, with several labels an image of mean average precision and "
        "of micro F1, that another precision may lose and be released",
    )
    target_precision: float = Field(
        0.99,
        gt=0,
        le=1,
        description="the abstain threshold is where kept predictions are right this often; multi-label: each "
        "label's, with --thresholds precision",
    )
    thresholds: Literal["f1", "precision"] = Field(
        "f1",
        description="multi-label: each label's threshold is where its F1 is highest, or the lowest at which "
        "--target-precision of what has it are right",
    )
    coverage: float = Field(
        0.95,
        gt=0,
        lt=1,
        description="how often the set of labels that an answer may carry is to hold the truth; chosen on "
        "the held-out images, measured where there is a part test",
    )
    known_share: float = Field(
        0.99,
        gt=0,
        le=1,
        description="an image is called unknown where it is less like the training's than this share of the "
        "held-out images",
    )
    compare_random_split: bool = Field(
        False,
        description="of a split by groups: train the same recipe once more on a random split, and report how "
        "much that would flatter the model; takes as long again",
    )
    runs: Path = Field(Path("runs"), description="folder of the runs' folders")
    run_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="name of this run's folder; a run that was broken off goes on; default: the time",
    )
    log_to: CommaSeparated = Field(
        (),
        description="where else to tell how training goes: tensorboard (event files in the run's folder), "
        "mlflow (wherever MLFLOW_TRACKING_URI says), or both; each needs the extra of its name",
    )

    @field_validator("log_to")
    @classmethod
    def _trackers_are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not set(names) <= set(TRACKERS):
            raise ValueError("it should be tensorboard, mlflow or both, as in tensorboard,mlflow")
        return tuple(name for name in TRACKERS if name in names)

    @field_validator("precisions")
    @classmethod
    def _precisions_are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = get_args(Precision)
        if not names or not set(names) <= set(known):
            raise ValueError("it should be some of fp32, fp16, int8 and int8-full, as in fp32,int8")
        return tuple(name for name in known if name in {"fp32", *names})


class PublishingOptions(TrainerOptions):
    """What a model has to reach to be published."""

    min_accuracy: float | None = Field(
        None,
        ge=0,
        le=1,
        description="a model whose held-out accuracy is below this is not published, and the exit code 65; "
        "default: any is good that is better than always naming the most frequent class; with several labels "
        "an image it is of the mean average precision, any being good that is better than ranking by chance",
    )
    publish_anyway: bool = Field(False, description="publish the model whatever its accuracy")
    promote: Promote | None = Field(
        None,
        description="always makes what is published the latest version; better does so unless it is worse "
        "than the latest on the images that its figures are of: such a model lies below candidates/, and the "
        "exit code is 65; never puts it there in any case. Default: always, or as the run was trained",
    )
