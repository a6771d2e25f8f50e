"""Where a model comes from: what a run notes of it when it begins, and what the model's bundle tells."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from fovea.errors import DataInvalid
from trainer.runs.random_split import RandomSplitRecord
from trainer.runs.run_folder import LINEAGE_FILE, RunFolder


def _or_none(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    try:
        return validate(value)
    except ValidationError:
        return None


def _or_empty(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    return _or_none(value, validate) or {}


T = TypeVar("T")
Noted = Annotated[T | None, WrapValidator(_or_none)]
"""None where it is not noted, or as something else: by another version, or by no trainer of ours."""
NotedByName = Annotated[dict[str, JsonValue], WrapValidator(_or_empty)]


class RunOrigin(BaseModel):
    """lineage.json: what a run began with."""

    model_config = ConfigDict(frozen=True)

    data_digest: str
    """sha256 over the images' contents and labels"""
    weights_sha256: str | None
    continued_from: str | None = None
    """the run whose network was trained further; it and the next are written only where there is one"""
    epochs_before: int | None = None
    labels_corrected: int | None = None
    """by --data CORRECTIONS.csv, and the next one too: written only where there is one"""
    images_left_out: int | None = None
    captured_labelled: int | None = None
    """captured images that were given a label; this and the next are written only where there are captures"""
    captured_left_out: int | None = None
    groups: dict[str, int] | None = None
    """part -> groups in it; written only where groups were kept together"""

    @classmethod
    def read(cls, run: RunFolder) -> "RunOrigin":
        """Raises DataInvalid where the run has no such file, or a damaged one."""
        try:
            return cls.model_validate(run.read_json(LINEAGE_FILE))
        except ValidationError as error:
            raise DataInvalid(
                f"{run.path / LINEAGE_FILE}: not the record of what a run began with"
            ) from error

    def write(self, run: RunFolder) -> None:
        run.write_json(LINEAGE_FILE, self.model_dump(exclude_unset=True))


class ChosenRate(BaseModel):
    """The learning rate and why; with it goes what else lr_find.json says, but for the curve."""

    model_config = ConfigDict(frozen=True, extra="allow")

    lr: Noted[float] = None
    why: Noted[str] = None
    confidence: Noted[str] = None


class Lineage(BaseModel):
    """What a bundle's contract has under `training`."""

    model_config = ConfigDict(frozen=True)

    run: Noted[str] = None
    architecture: Noted[str] = None
    weights: Noted[str] = None
    data_digest: Noted[str] = None
    weights_sha256: Noted[str] = None
    continued_from: Noted[str] = None
    epochs_before: Noted[int] = None
    labels_corrected: Noted[int] = None
    images_left_out: Noted[int] = None
    captured_labelled: Noted[int] = None
    captured_left_out: Noted[int] = None
    groups: Noted[dict[str, int]] = None
    random_split: Noted[RandomSplitRecord] = None
    """what the same recipe reached on a random split, where that was compared"""
    learning_rate: Noted[ChosenRate] = None
    epochs: Noted[int] = None
    seed: Noted[int] = None
    versions: NotedByName = Field(default_factory=dict)
    settings: NotedByName = Field(default_factory=dict)
    """those of the model, as they are saved"""

    @classmethod
    def of(cls, training: Mapping[str, JsonValue]) -> "Lineage":
        return cls.model_validate(training)

    def record(self) -> dict[str, JsonValue]:
        """JSON-ready: what was noted, and no more."""
        return self.model_dump(mode="json", exclude_unset=True)
