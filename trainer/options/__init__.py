"""Options in groups, as commands share them. Each is declared once: a flag, a variable and a default.

Beside them, `architectures.ARCHITECTURES` are the names that --arch knows.
"""

from trainer.options.inspection import (
    ComparisonOptions,
    EvaluationOptions,
    GuardOptions,
    LabelErrorOptions,
    LabellingOptions,
    LookOptions,
    PromotionOptions,
)
from trainer.options.labelling import LabelTableOptions, TaskOptions
from trainer.options.places import (
    BundleOptions,
    DataOptions,
    FinishedRunOptions,
    ModelOptions,
    ModelsOptions,
    OutputOptions,
    sources_of,
)
from trainer.options.program import AutoOrSwitch, Device, LogOptions, MachineOptions, RankOptions
from trainer.options.recipe import DIGITS, CacheOptions, ImageOptions, RecipeOptions, implied_by, written
from trainer.options.run import OF_SCHEDULES, FitOptions, Promote, PublishingOptions, RunOptions

__all__ = [
    "DIGITS",
    "OF_SCHEDULES",
    "AutoOrSwitch",
    "BundleOptions",
    "CacheOptions",
    "ComparisonOptions",
    "DataOptions",
    "Device",
    "EvaluationOptions",
    "FinishedRunOptions",
    "FitOptions",
    "GuardOptions",
    "ImageOptions",
    "LabelErrorOptions",
    "LabelTableOptions",
    "LabellingOptions",
    "LogOptions",
    "LookOptions",
    "MachineOptions",
    "ModelOptions",
    "ModelsOptions",
    "OutputOptions",
    "Promote",
    "PromotionOptions",
    "PublishingOptions",
    "RankOptions",
    "RecipeOptions",
    "RunOptions",
    "TaskOptions",
    "implied_by",
    "sources_of",
    "written",
]
