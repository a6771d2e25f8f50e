"""Which images are held out together: folds of every class, drawn by a seed."""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from fovea.errors import SettingsInvalid
from trainer.evaluate.metrics import Targets

ALWAYS_TRAINED_ON: Final = -1


def deal(targets: Targets, contents: Sequence[str], folds: int, seed: int) -> Targets:
    """int64 [n]: the fold of each image, from 0; -1 for the only one of its class, always trained on.

    `targets` int64 [n], `contents` a digest of each image. Files of one content share a fold: else one with a
    wrong label would speak for the other. A class is spread over as many folds as it can be, so that there is
    always some of it to train on. Raises SettingsInvalid where there are fewer images than folds.
    """
    members: dict[int, list[str]] = defaultdict(list)
    for content, target in dict(zip(reversed(contents), reversed(targets.tolist()), strict=True)).items():
        members[target].append(content)
    fold_of: dict[str, int] = {}
    dealt = 0
    for target, each in sorted(members.items()):
        each.sort()
        random.Random(f"{seed}/{target}").shuffle(each)
        for content in each:
            fold_of[content] = dealt % folds if len(each) > 1 else ALWAYS_TRAINED_ON
            dealt += len(each) > 1
    if dealt < folds:
        raise SettingsInvalid(f"--folds {folds}: there are {dealt} images to hold out; there have to be more")
    return np.array([fold_of[content] for content in contents], np.int64)
