"""Two models over captured images that nobody gave a label: where they disagree, not who is right."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel

from trainer.compare.replay import Replay


class MovedAnswer(BaseModel, frozen=True):
    """An image that the two models answer differently."""

    path: str
    old: str
    old_probability: float
    """of what it answered"""
    new: str
    new_probability: float


class AnswersOfClass(BaseModel, frozen=True):
    """The images that the old model answers so."""

    label: str
    images: int
    agreed: int
    """that the new model answers so too"""
    others: dict[str, int]
    """what else the new model answers, the most frequent first"""


class Unlabelled(BaseModel, frozen=True):
    """Of all such images that can be decoded."""

    images: int
    agreed: int
    unreadable: int
    classes: list[AnswersOfClass]
    """by the old model's answer, those of most changed answers first"""
    changed: list[MovedAnswer]
    """every one; those that the new model is surest of first"""

    def __str__(self) -> str:
        share = self.agreed / self.images if self.images else 1.0
        moved = [
            f"{row.label} to {next(iter(row.others))} {next(iter(row.others.values()))}"
            for row in self.classes[:3]
            if row.others
        ]
        most = f"; most often {', '.join(moved)}" if moved else ""
        return (
            f"of {self.images} captured images without a label, {self.agreed} ({share:.2%}) are answered "
            f"alike{most}"
        )


def compare_unlabelled(answers: Replay, new: Sequence[str], old: Sequence[str]) -> Unlabelled:
    """`new` and `old` are the models' labels."""
    new_said, old_said = _said(answers.new, new), _said(answers.old, old)
    pairs = Counter(zip(old_said, new_said, strict=True))
    places = [place for place, said in enumerate(new_said) if said != old_said[place]]
    places.sort(key=lambda place: (-float(answers.new[place].max()), place))
    return Unlabelled(
        images=len(answers.samples),
        agreed=len(answers.samples) - len(places),
        unreadable=len(answers.bad),
        classes=_classes(pairs),
        changed=[
            MovedAnswer(
                path=str(answers.samples[place]),
                old=old_said[place],
                old_probability=float(answers.old[place].max()),
                new=new_said[place],
                new_probability=float(answers.new[place].max()),
            )
            for place in places
        ],
    )


def _said(probabilities: np.ndarray, labels: Sequence[str]) -> list[str]:
    return [labels[best] for best in probabilities.argmax(1).tolist()]


def _classes(pairs: Counter[tuple[str, str]]) -> list[AnswersOfClass]:
    rows = []
    for label in sorted({old for old, _ in pairs}):
        said = [(new, count) for (old, new), count in pairs.most_common() if old == label]
        rows.append(
            AnswersOfClass(
                label=label,
                images=sum(count for _, count in said),
                agreed=pairs[label, label],
                others={new: count for new, count in said if new != label},
            )
        )
    return sorted(rows, key=lambda row: row.agreed - row.images)
