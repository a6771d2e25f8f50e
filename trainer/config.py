"""The settings of each command, put together from groups of options."""

from typing import Final, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from trainer.options import (
    BundleOptions,
    CacheOptions,
    ComparisonOptions,
    DataOptions,
    EvaluationOptions,
    FinishedRunOptions,
    FitOptions,
    GuardOptions,
    ImageOptions,
    LabelErrorOptions,
    LabellingOptions,
    LabelTableOptions,
    LogOptions,
    LookOptions,
    MachineOptions,
    ModelOptions,
    ModelsOptions,
    OutputOptions,
    PromotionOptions,
    PublishingOptions,
    RankOptions,
    RecipeOptions,
    RunOptions,
    TaskOptions,
)

TRACED_AS: Final = "fovea-train"
"""The service.name of the spans, where the environment gives no other."""


def _check_several_labels(settings: "LrFindSettings | TrainSettings") -> None:
    """Raises ValueError for options that are of one label an image."""
    if settings.task == "single":
        return
    if settings.corrections or settings.captures:
        raise ValueError("--task multi takes one --data: correct the labels in the CSV file itself")
    if not settings.source.endswith(".csv") and settings.source != "digits":
        raise ValueError(
            f"--data {settings.source}: --task multi takes a CSV path,labels[,split]; folders tell one label "
            "an image"
        )
    if settings.sampler != "shuffle" or settings.class_weights != "none":
        raise ValueError(
            "--sampler balanced and --class-weights balanced are of --task single; of multi is "
            "--positive-weights balanced"
        )


class LrFindSettings(
    LogOptions, MachineOptions, RankOptions, OutputOptions, TaskOptions, RecipeOptions, DataOptions
):
    """Find the learning rate: raise it at every step and look at the loss."""

    @model_validator(mode="after")
    def _several_labels_are_possible(self) -> Self:
        _check_several_labels(self)
        return self


class TrainSettings(
    LogOptions,
    MachineOptions,
    RankOptions,
    GuardOptions,
    PublishingOptions,
    RunOptions,
    FitOptions,
    TaskOptions,
    RecipeOptions,
    ModelsOptions,
    DataOptions,
):
    """The whole job: read the data, find the learning rate, fine-tune, calibrate, export, gate, publish."""

    @model_validator(mode="after")
    def _several_labels_go_the_whole_way(self) -> Self:
        _check_several_labels(self)
        if self.task == "multi" and self.promote == "better":
            raise ValueError("--promote better compares single-label models alone: always or never")
        if self.task == "multi" and self.compare_random_split:
            raise ValueError("--compare-random-split is of --task single")
        return self

    @model_validator(mode="after")
    def _guards_have_a_use(self) -> Self:
        if self.guard_class and self.promote != "better":
            raise ValueError("--guard-class is of --promote better")
        return self


class LabelsSettings(LogOptions, MachineOptions, LabelErrorOptions, FitOptions, RecipeOptions, DataOptions):
    """Find the labels that are most likely wrong, by trainings that each hold a part of the images out."""


class LabelSettings(LogOptions, MachineOptions, LabellingOptions, CacheOptions):
    """Make a page to label captured images on; what it saves is corrections, as --data takes them."""

    @model_validator(mode="after")
    def _port_has_a_use(self) -> Self:
        if self.port and not self.serve:
            raise ValueError("--port is of --serve")
        return self


class ExportSettings(
    LogOptions, MachineOptions, GuardOptions, PublishingOptions, ModelsOptions, FinishedRunOptions
):
    """Export, gate and publish a finished run again, from its checkpoint."""


class EvaluateSettings(
    LogOptions,
    MachineOptions,
    EvaluationOptions,
    ImageOptions,
    LabelTableOptions,
    DataOptions,
    BundleOptions,
):
    """Measure a released model on labelled images; of those that come with a split, on what is held out."""


class CompareSettings(
    LogOptions, MachineOptions, ComparisonOptions, GuardOptions, ImageOptions, DataOptions, BundleOptions
):
    """Compare two released models on the same images: every answer that changed; is the new one worse?"""


class PromoteSettings(
    LogOptions, MachineOptions, PromotionOptions, GuardOptions, ImageOptions, BundleOptions
):
    """Make a version the latest, or a candidate the next version and the latest; who and why is kept."""

    data: str | None = Field(
        None,
        min_length=1,
        description="labelled images, as `compare` takes them: promote it only if it is not worse on them "
        "than the latest",
    )

    @model_validator(mode="after")
    def _guards_have_a_use(self) -> Self:
        if self.guard_class and self.data is None:
            raise ValueError("--guard-class needs --data, the images to compare on")
        return self


class RollbackSettings(LogOptions, MachineOptions, PromotionOptions, CacheOptions, ModelOptions):
    """Make the version the latest that was so before; who and why is kept."""

    to: int | None = Field(None, ge=1, description="the version; default: the one before the latest")


class CanarySettings(LogOptions, MachineOptions, PromotionOptions, CacheOptions, BundleOptions):
    """Try a version, or a candidate as the next version, on a share of the calls; who and why is kept."""

    percent: float = Field(
        ge=0, le=100, description="percent of the calls that it answers beside the latest; 0 ends its rollout"
    )


class LookSettings(LogOptions, LookOptions):
    """Look into a trained network: a page of what it sees in an image, with a convolution done by hand."""


class InspectSettings(LogOptions, BundleOptions):
    """Show what a released model is and where it comes from; every file is compared with its digest."""

    model_config = SettingsConfigDict(cli_shortcuts={"as-json": "json"})

    as_json: bool = Field(False, description="print the whole contract as JSON")
