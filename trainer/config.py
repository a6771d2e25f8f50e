"""The settings of each command, put together from groups of options."""

from trainer.options import (
    DataOptions,
    FinishedRunOptions,
    MachineOptions,
    ModelsOptions,
    OutputOptions,
    RecipeOptions,
    RunOptions,
)


class LrFindSettings(MachineOptions, OutputOptions, RecipeOptions, DataOptions):
    """Find the learning rate: raise it at every step and look at the loss."""


class TrainSettings(MachineOptions, RunOptions, RecipeOptions, ModelsOptions, DataOptions):
    """The whole job: read the data, find the learning rate, fine-tune, calibrate, export, gate, publish."""


class ExportSettings(MachineOptions, ModelsOptions, FinishedRunOptions):
    """Export, gate and publish a finished run again, from its checkpoint."""
