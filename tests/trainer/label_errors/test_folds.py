"""Which images are held out together."""

import numpy as np
import pytest

from fovea.errors import SettingsInvalid
from trainer.label_errors.folds import ALWAYS_TRAINED_ON, deal

TARGETS = np.array([0] * 40 + [1] * 7 + [2] * 2)
CONTENTS = [f"{index:03d}" for index in range(len(TARGETS))]


def test_every_class_is_spread_over_the_folds() -> None:
    folds = deal(TARGETS, CONTENTS, 4, seed=0)
    assert np.bincount(folds[TARGETS == 0]).tolist() == [10, 10, 10, 10]
    assert sorted(np.bincount(folds[TARGETS == 1], minlength=4).tolist()) == [1, 2, 2, 2]
    assert len(set(folds[TARGETS == 2].tolist())) == 2
    assert np.ptp(np.bincount(folds)) <= 1


def test_folds_depend_on_the_seed_and_not_on_the_order() -> None:
    folds = deal(TARGETS, CONTENTS, 4, seed=0)
    assert (folds == deal(TARGETS[::-1], CONTENTS[::-1], 4, seed=0)[::-1]).all()
    assert (folds != deal(TARGETS, CONTENTS, 4, seed=1)).any()


def test_files_of_one_content_share_a_fold_whatever_their_labels() -> None:
    contents = [*CONTENTS[:-1], CONTENTS[0]]
    folds = deal(TARGETS, contents, 4, seed=0)
    assert folds[0] == folds[-1]


def test_groups_of_any_size_leave_the_folds_as_alike_as_can_be() -> None:
    names = ["a"] * 20 + ["b"] * 8 + CONTENTS[28:]
    folds = deal(TARGETS, names, 4, seed=0)
    assert len(set(folds[:20].tolist())) == len(set(folds[20:28].tolist())) == 1
    assert sorted(np.bincount(folds[:40]).tolist()) == [6, 6, 8, 20]
    assert sorted(np.bincount(folds[40:47]).tolist()) == [1, 2, 2, 2]


def test_class_of_one_group_alone_is_always_trained_on() -> None:
    """With what else is in the group: a label of another class that is nearly the same picture."""
    targets = np.array([0] * 8 + [1] * 3)
    folds = deal(targets, [*CONTENTS[:7], "z", "z", "z", "z"], 4, seed=0)
    assert folds[7:].tolist() == [ALWAYS_TRAINED_ON] * 4
    assert (folds[:7] >= 0).all()


def test_no_fold_has_all_of_a_class_where_pictures_have_several_labels() -> None:
    targets = np.array([0, 0, 1, 1, 1, 1, 1, 1, 1])
    names = ["y", "x", "x", "x", "w", "w", "w", "w", "w"]
    for seed in range(5):
        folds = deal(targets, names, 2, seed)
        for fold in (0, 1):
            assert set(targets[folds != fold].tolist()) == {0, 1}
        assert all(len(set(folds[[other == name for other in names]].tolist())) == 1 for name in names)


def test_only_image_of_its_class_is_always_trained_on() -> None:
    folds = deal(np.array([0] * 8 + [1]), CONTENTS[:9], 4, seed=0)
    assert folds[-1] == ALWAYS_TRAINED_ON
    assert (folds[:-1] >= 0).all()


def test_more_folds_than_images_are_refused() -> None:
    with pytest.raises(SettingsInvalid, match="--folds 10: there are 9 images to hold out"):
        deal(TARGETS[-9:], CONTENTS[-9:], 10, seed=0)


def test_groups_share_a_fold_and_those_that_a_picture_connects_are_one() -> None:
    targets, groups = np.array([0, 1] * 20), [f"patient {index // 4}" for index in range(40)]
    pictures = [f"{index:03d}" for index in range(40)]
    pictures[4] = pictures[39]
    folds = deal(targets, pictures, 3, seed=0, groups=groups)
    assert all(len(set(folds[start : start + 4].tolist())) == 1 for start in range(0, 40, 4))
    assert folds[4] == folds[39]
    assert set(folds.tolist()) == {0, 1, 2}


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(SettingsInvalid, match="--folds 4: there are 3 groups, 0 of which are always"):
        deal(np.array([0, 1] * 6), CONTENTS[:12], 4, seed=0, groups=["a"] * 4 + ["b"] * 4 + ["c"] * 4)
