"""Whole groups on one side of a split, or in one fold: near the asked shares of every class.

A local search by single moves. Cost is the squared distance from the asked share, of each class and of all
images; so it is stratified as far as the groups allow, as scikit-learn's StratifiedGroupKFold is, but for
parts of unequal shares too.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

Counts = Mapping[str, Counter[int]]
"""group -> class -> its images; none is empty"""

TRAIN, HELD = 0, 1
MOST_PASSES: Final = 5
LEAST_GAIN: Final = 1e-12
"""Against moving back and forth for rounding's sake."""


def choose_groups(counts: Counts, share: float, seed: int) -> set[str]:
    """The groups to hold out: near `share` of each class and of all, at least one group of each class and
    never its last, where its groups allow both. Which ones, `seed` says."""
    dealt = _Dealt(counts, (1 - share, share), guarded=True)
    order = _shuffled(counts, seed)
    for label, groups in sorted(_by_class(counts, order).items(), key=lambda pair: (len(pair[1]), pair[0])):
        if not dealt.present[HELD][label]:
            dealt.hold_one(groups)
    dealt.improve(order)
    return {group for group, part in dealt.part_of.items() if part == HELD}


def deal_groups(counts: Counts, folds: int, seed: int) -> dict[str, int | None]:
    """The fold of each group, from 0: folds of like size and classes. None of a group that has to be in none,
    for else a fold would have all images of a class."""
    fold_of: dict[str, int | None] = {
        groups[0]: None for groups in _by_class(counts, sorted(counts)).values() if len(groups) == 1
    }
    others = {group: classes for group, classes in counts.items() if group not in fold_of}
    if others:
        dealt = _Dealt(others, (1 / folds,) * folds, guarded=False)
        dealt.improve(_shuffled(others, seed))
        fold_of.update(dealt.part_of)
    for _, members in sorted(_by_class(counts, sorted(counts)).items()):
        if len({fold_of[group] for group in members}) == 1:
            fold_of[min(members, key=lambda group: counts[group].total())] = None
    return fold_of


def _by_class(counts: Counts, order: Sequence[str]) -> Mapping[int, list[str]]:
    groups: dict[int, list[str]] = defaultdict(list)
    for group in order:
        for label in counts[group]:
            groups[label].append(group)
    return groups


def _shuffled(counts: Counts, seed: int) -> list[str]:
    order = sorted(counts)
    random.Random(f"{seed}/groups").shuffle(order)
    return order


class _Dealt:
    """Which part each group is in: all in the first to begin with."""

    def __init__(self, counts: Counts, shares: Sequence[float], *, guarded: bool) -> None:
        self.counts, self.shares, self.guarded = counts, shares, guarded
        self.part_of = dict.fromkeys(sorted(counts), 0)
        self.totals: Counter[int] = Counter()
        for of_group in counts.values():
            self.totals.update(of_group)
        self.images = [self.totals.copy(), *(Counter[int]() for _ in shares[1:])]
        self.present = [Counter[int]() for _ in shares]
        """groups of each class in each part"""
        for of_group in counts.values():
            self.present[0].update(of_group.keys())
        self.every = self.totals.total()
        self.sizes = [self.every, *(0 for _ in shares[1:])]

    def hold_one(self, groups: Iterable[str]) -> None:
        """The first that brings the shares nearer, or else the one that takes them least far."""
        gains = {group: self._gain(group, HELD) for group in groups if self._may_leave(group)}
        if gains:
            nearer = (group for group, gain in gains.items() if gain < 0)
            self._move(next(nearer, min(gains, key=lambda group: gains[group])), HELD)

    def improve(self, order: Sequence[str]) -> None:
        for _ in range(MOST_PASSES):
            if not sum([self._improve(group) for group in order]):
                return

    def _improve(self, group: str) -> bool:
        if not self._may_leave(group):
            return False
        parts = (part for part in range(len(self.shares)) if part != self.part_of[group])
        gain, best = min((self._gain(group, part), part) for part in parts)
        if gain < -LEAST_GAIN:
            self._move(group, best)
        return gain < -LEAST_GAIN

    def _may_leave(self, group: str) -> bool:
        here = self.present[self.part_of[group]]
        return not self.guarded or all(here[label] > 1 for label in self.counts[group])

    def _gain(self, group: str, to: int) -> float:
        """Half of what moving it there adds to the cost."""
        here = self.part_of[group]
        asked = self.shares[to] - self.shares[here]
        there, from_here = self.images[to], self.images[here]
        of_classes = 0.0
        for label, moved in self.counts[group].items():
            total = self.totals[label]
            of_classes += moved / total * ((there[label] - from_here[label] + moved) / total - asked)
        size, every = self.counts[group].total(), self.every
        of_all = size / every * ((self.sizes[to] - self.sizes[here] + size) / every - asked)
        return of_classes / len(self.totals) + of_all

    def _move(self, group: str, to: int) -> None:
        here, of_group = self.part_of[group], self.counts[group]
        self.images[here].subtract(of_group)
        self.images[to].update(of_group)
        self.present[here].subtract(of_group.keys())
        self.present[to].update(of_group.keys())
        self.sizes[here] -= of_group.total()
        self.sizes[to] += of_group.total()
        self.part_of[group] = to
