"""Who is held out and who is tested on, where images have several labels: a share of each label's.

Iterative stratification (K. Sechidis, G. Tsoumakas and I. Vlahavas, On the Stratification of Multi-Label
Data, 2011), as the package iterative-stratification has it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.images.listing import Sample

Marks = npt.NDArray[np.int64]
"""1 where an image has a label: int64 [n, labels]"""
Places = npt.NDArray[np.int64]

TEST_SEED: Final = 1
"""Added to the seed for the second cut, so that it is not the first one again."""


def labels_of(samples: Iterable[Sample]) -> tuple[str, ...]:
    """All that some image has, in order."""
    return tuple(sorted({label for sample in samples for label in sample.named}))


def marks_of(samples: Sequence[Sample], labels: Sequence[str]) -> Marks:
    """int64 [n, labels]. Raises KeyError for an image with another label."""
    places = {label: place for place, label in enumerate(labels)}
    marks = np.zeros((len(samples), len(labels)), np.int64)
    for row, sample in enumerate(samples):
        marks[row, [places[label] for label in sample.named]] = 1
    return marks


def targets_of(samples: Sequence[Sample], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """What is learnt of these images: the place of each one's label, int64 [n], or where there may be several
    `marks_of` them. Raises KeyError for an image with another label."""
    if any(sample.labels is not None for sample in samples):
        return marks_of(samples, labels)
    places = {label: place for place, label in enumerate(labels)}
    return np.array([places[sample.label] for sample in samples], np.int64)


def divide_by_labels(
    samples: Sequence[Sample], val_fraction: float, test_fraction: float, seed: int
) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """To train on, held out, to test on: of each label about these fractions, of each one image at least to
    train on, and of each of two one held out where that leaves all of its labels one. What is held out is the
    same whatever is tested on."""
    marks = marks_of(samples, labels_of(samples))
    every: Places = np.arange(len(samples))
    held = _hold_out_of_each(marks, _cut(marks, every, val_fraction, seed)) if val_fraction else every[:0]
    rest = np.setdiff1d(every, held)
    tested = _cut(marks, rest, min(1.0, test_fraction * len(every) / max(1, len(rest))), seed + TEST_SEED)
    parts = [set(part.tolist()) for part in (np.setdiff1d(rest, tested), held, tested)]
    _train_on_each(marks, *parts)
    train, heldout, test = ([samples[place] for place in sorted(part)] for part in parts)
    return train, heldout, test


def _cut(marks: Marks, places: Places, fraction: float, seed: int) -> Places:
    """Some of the places: none of a fraction of 0, or where there are too few images to cut."""
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit  # loads scikit-learn: a second

    wanted = round(len(places) * fraction)
    if not fraction or len(places) < 2:
        return places[:0]
    wanted = min(max(1, wanted), len(places) - 1)
    splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=wanted, random_state=seed % 2**32)
    # A column of ones: images without any label count as well.
    columns = np.hstack([marks[places], np.ones((len(places), 1), np.int64)])
    _, cut = next(splitter.split(np.zeros(len(places)), columns))
    chosen: Places = places[np.sort(cut)]
    return chosen


def _hold_out_of_each(marks: Marks, held: Places) -> Places:
    """With an image of each label that the cut left out, for by nothing else is a label's threshold chosen:
    the first whose labels all have another to train on."""
    chosen = np.isin(np.arange(len(marks)), held)
    left = marks[~chosen].sum(0)
    for label in range(marks.shape[1]):
        if marks[chosen, label].any():
            continue
        members = np.flatnonzero(marks[:, label] & ~chosen)
        spare = next((place for place in members if (left[marks[place] == 1] > 1).all()), None)
        if spare is not None:
            chosen[spare] = True
            left = left - marks[spare]
    places: Places = np.flatnonzero(chosen)
    return places


def _train_on_each(marks: Marks, train: set[int], held: set[int], tested: set[int]) -> None:
    """A label that is not trained on gets an image of it from the others."""
    for label in range(marks.shape[1]):
        members = set(np.flatnonzero(marks[:, label]).tolist())
        if members & train:
            continue
        part = tested if members & tested else held
        moved = min(members & part)
        part.remove(moved)
        train.add(moved)
