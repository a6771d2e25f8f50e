"""How labels are told where an image may have several, and what is made of them in training."""

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from fovea.model.task import Task
from fovea.settings import CommaSeparated
from trainer.options.program import TrainerOptions

OF_MULTI: Final = frozenset({"label_columns", "label_separator", "loss", "positive_weights", "thresholds"})
"""Options that say nothing where an image has one label."""


class LabelTableOptions(TrainerOptions):
    """How a CSV file tells several labels of an image."""

    label_separator: str = Field(
        ";",
        min_length=1,
        max_length=8,
        description="multi-label: what stands between an image's labels in the CSV's column labels",
    )
    label_columns: CommaSeparated = Field(
        (),
        description="multi-label: columns of 0 and 1 that are labels, A,B,C; default: the column labels, or "
        "where there is none all columns beside path, split and that of --group",
    )


class TaskOptions(LabelTableOptions):
    """One label an image, or several; and what several are trained by."""

    task: Task = Field(
        "single",
        description="single: an image has one label; multi: it has any number of labels, or none, told by a "
        "CSV path,labels[,split], or one with a column of 0 and 1 for each label",
    )
    loss: Literal["bce", "asymmetric"] = Field(
        "bce",
        description="multi-label: binary cross-entropy, or the asymmetric loss (arXiv 2009.14119), which "
        "passes over what is easily told to be without a label",
    )
    positive_weights: Literal["none", "balanced"] = Field(
        "none",
        description="multi-label; balanced: having a label counts the more, the fewer images have it, 10 "
        "times at most",
    )

    @model_validator(mode="after")
    def _of_one_task(self) -> Self:
        if self.task == "single":
            # Not what was given: that is everything where a run's saved settings are read.
            fields = type(self).model_fields
            for name in sorted(OF_MULTI & fields.keys()):
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"--{name.replace('_', '-')} is of --task multi")
        return self
