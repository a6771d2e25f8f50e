"""The settings of each command, put together from groups of options."""

from typing import Final

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from trainer.options import (
    BundleOptions,
    ComparisonOptions,
    DataOptions,
    EvaluationOptions,
    FinishedRunOptions,
    FitOptions,
    GuardOptions,
    ImageOptions,
    LabelErrorOptions,
    LogOptions,
    LookOptions,
    MachineOptions,
    ModelsOptions,
    OutputOptions,
    PublishingOptions,
    RankOptions,
    RecipeOptions,
    RunOptions,
)

TRACED_AS: Final = "fovea-train"
"""The service.name of the spans, where the environment gives no other."""


class LrFindSettings(LogOptions, MachineOptions, RankOptions, OutputOptions, RecipeOptions, DataOptions):
    """Find the learning rate: raise it at every step and look at the loss."""


class TrainSettings(
    LogOptions,
    MachineOptions,
    RankOptions,
    PublishingOptions,
    RunOptions,
    FitOptions,
    RecipeOptions,
    ModelsOptions,
    DataOptions,
):
    """The whole job: read the data, find the learning rate, fine-tune, calibrate, export, gate, publish."""


class LabelsSettings(LogOptions, MachineOptions, LabelErrorOptions, FitOptions, RecipeOptions, DataOptions):
    """Find the labels that are most likely wrong, by trainings that each hold a part of the images out."""


class ExportSettings(LogOptions, MachineOptions, PublishingOptions, ModelsOptions, FinishedRunOptions):
    """Export, gate and publish a finished run again, from its checkpoint."""


class EvaluateSettings(
    LogOptions, MachineOptions, EvaluationOptions, ImageOptions, DataOptions, BundleOptions
):
    """Measure a released model on labelled images; of those that come with a split, on what is held out."""


class CompareSettings(
    LogOptions, MachineOptions, ComparisonOptions, GuardOptions, ImageOptions, DataOptions, BundleOptions
):
    """Compare two released models on the same images: every answer that changed; is the new one worse?"""


class LookSettings(LogOptions, LookOptions):
    """Look into a trained network: a page of what it sees in an image, with a convolution done by hand."""


class InspectSettings(LogOptions, BundleOptions):
    """Show what a released model is and where it comes from; every file is compared with its digest."""

    model_config = SettingsConfigDict(cli_shortcuts={"as-json": "json"})

    as_json: bool = Field(False, description="print the whole contract as JSON")
