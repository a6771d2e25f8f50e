"""Which images are held out together: folds of every class, drawn by a seed."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from fovea.errors import SettingsInvalid
from trainer.evaluate.metrics import Targets
from trainer.images.group_split import deal_groups

ALWAYS_TRAINED_ON: Final = -1

Classes = Mapping[str, Counter[int]]
"""name of images that go together -> class -> how many of it they are"""


def deal(
    targets: Targets, together: Sequence[str], folds: int, seed: int, groups: Sequence[str] = ()
) -> Targets:
    """int64 [n]: the fold of each image, from 0; -1 where nothing else of a class is there to train on.

    `targets` int64 [n]; images of one name in `together` share a fold: of files of one content, or of nearly
    the same picture, one that is trained on would speak for the label of the other. So do those of one of
    `groups`, where there are some, [n], with groups that such images connect. A class is spread over as many
    folds as it can be, so that there is always some of it to train on. Raises SettingsInvalid where
    there are fewer to hold out than folds.
    """
    if groups:
        return _deal_groups(targets, _joined(groups, together), folds, seed)
    classes: dict[str, Counter[int]] = defaultdict(Counter)
    for name, target in zip(together, targets.tolist(), strict=True):
        classes[name][target] += 1
    fold_of = dict.fromkeys(_only_of_a_class(classes), ALWAYS_TRAINED_ON)
    dealt = len(classes) - len(fold_of)
    if dealt < folds:
        raise SettingsInvalid(f"--folds {folds}: there are {dealt} images to hold out; there have to be more")
    images = np.zeros(folds, np.int64)
    for target, names in _by_class(classes, fold_of):
        of_class = np.zeros(folds, np.int64)
        for name in _shuffled(names, classes, f"{seed}/{target}"):
            fold = fold_of[name] = int(np.lexsort((images, of_class))[0])
            of_class[fold] += classes[name].total()
            images[fold] += classes[name].total()
    folds_of = np.array([fold_of[name] for name in together], np.int64)
    for target in np.unique(targets):
        # Names with several labels may have brought all of a class into one fold.
        if len(held := np.unique(folds_of[targets == target])) == 1 and held[0] != ALWAYS_TRAINED_ON:
            smallest = min((classes[name].total(), name) for name in classes if classes[name][target])[1]
            folds_of[np.array(together) == smallest] = ALWAYS_TRAINED_ON
    return folds_of


def _only_of_a_class(classes: Classes) -> set[str]:
    having: dict[int, list[str]] = defaultdict(list)
    for name, counts in classes.items():
        for target in counts:
            having[target].append(name)
    return {names[0] for names in having.values() if len(names) == 1}


def _by_class(classes: Classes, dealt: Mapping[str, int]) -> Iterable[tuple[int, list[str]]]:
    """Those that are not dealt yet, by the class that most of their images are of."""
    members: dict[int, list[str]] = defaultdict(list)
    for name in classes.keys() - dealt.keys():
        members[min(classes[name], key=lambda target: (-classes[name][target], target))].append(name)
    return sorted(members.items())


def _shuffled(names: Iterable[str], classes: Classes, seed: str) -> list[str]:
    """The largest first, which leaves the folds the most alike; those of one size in an order of the seed."""
    order = sorted(names)
    random.Random(seed).shuffle(order)
    return sorted(order, key=lambda name: -classes[name].total())


def _deal_groups(targets: Targets, groups: Sequence[str], folds: int, seed: int) -> Targets:
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for group, target in zip(groups, targets.tolist(), strict=True):
        counts[group][target] += 1
    fold_of = deal_groups(counts, folds, seed)
    held = {fold for fold in fold_of.values() if fold is not None}
    if len(held) < folds:
        always = sum(fold is None for fold in fold_of.values())
        raise SettingsInvalid(
            f"--folds {folds}: there are {len(counts)} groups, {always} of which are always trained on, for "
            f"some class would be gone without; they fill {len(held)} folds"
        )
    numbers = {group: ALWAYS_TRAINED_ON if fold is None else fold for group, fold in fold_of.items()}
    return np.array([numbers[group] for group in groups], np.int64)


def _joined(groups: Sequence[str], together: Sequence[str]) -> list[str]:
    """The same for groups that images of one name in `together` connect: the first of them by name."""
    leader = {group: group for group in groups}

    def first(group: str) -> str:
        while leader[group] != group:
            leader[group] = leader[leader[group]]
            group = leader[group]
        return group

    having: dict[str, str] = {}
    for group, name in zip(groups, together, strict=True):
        one, other = first(group), first(having.setdefault(name, group))
        leader[max(one, other)] = min(one, other)
    return [first(group) for group in groups]
