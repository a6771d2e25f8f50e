"""The suspicions, as files: suspects.json with all that is known of them, corrections.csv to be applied."""

import csv
import io
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from fovea.settings import SavedSettings
from trainer.evaluate.label_errors import doubtful_labels, suggested_labels
from trainer.evaluate.metrics import Logits
from trainer.images.corrections import COLUMNS, RELABEL
from trainer.images.data import DataSet
from trainer.label_errors.folds import ALWAYS_TRAINED_ON

SUSPECTS_FILE: Final = "suspects.json"
CORRECTIONS_FILE: Final = "corrections.csv"
PAGE_FILE: Final = "suspects.html"


class Suspect(BaseModel, frozen=True):
    """An image whose label is doubted."""

    rank: int
    """from 1, the most doubtful first"""
    path: str
    """as the image is called in its source"""
    label: str
    suggested: str
    """the most probable class but the label"""
    probability: float
    """of what is suggested, by a network that was not trained on the image"""
    probability_of_label: float


class SuspectsRecord(BaseModel, frozen=True):
    """suspects.json: labels that are most likely wrong. A ranking of suspicions."""

    settings: SavedSettings
    data_digest: str
    """sha256 over the contents and labels of all images, hexadecimal"""
    images: int
    judged: int
    """those that were held out of a training"""
    kept: int
    """doubted, but looked at and kept by the corrections that were given: they are not listed"""
    folds: int
    accuracy: float
    """of the judged, how many are as labelled to the network that was not trained on them"""
    warning: str | None
    """why this ranking is worth little, where it is"""
    learning_rate: float
    temperature: float
    """what logits were divided by for the probabilities"""
    labels: tuple[str, ...]
    suspects: tuple[Suspect, ...]


def find_suspects(
    data: DataSet, fold_of: npt.NDArray[np.int64], probabilities: Logits
) -> tuple[npt.NDArray[np.int64], int]:
    """The images that are listed, the most doubtful first, as indices of `data.heldout`; and how many more
    were looked at and kept."""
    judged = np.flatnonzero(fold_of != ALWAYS_TRAINED_ON)
    doubted = judged[doubtful_labels(probabilities[judged], data.heldout.targets[judged])]
    listed = [index for index in doubted if str(data.heldout.samples[index]) not in data.kept]
    return np.array(listed, np.int64), len(doubted) - len(listed)


def describe_suspects(
    data: DataSet, listed: npt.NDArray[np.int64], probabilities: Logits
) -> tuple[Suspect, ...]:
    suggested = suggested_labels(probabilities, data.heldout.targets)
    return tuple(
        Suspect(
            rank=rank,
            path=str(data.heldout.samples[index]),
            label=data.heldout.samples[index].label,
            suggested=data.labels[suggested[index]],
            probability=round(float(probabilities[index, suggested[index]]), 6),
            probability_of_label=round(float(probabilities[index, data.heldout.targets[index]]), 6),
        )
        for rank, index in enumerate(listed.tolist(), 1)
    )


def as_corrections(suspects: tuple[Suspect, ...]) -> str:
    """corrections.csv: for each what the network says, as --data takes it. Nobody has looked at them yet."""
    file = io.StringIO(newline="")
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    for each in suspects:
        rows.writerow([each.path, each.suggested, RELABEL, each.label, f"{each.probability:.4f}", each.rank])
    return file.getvalue()
