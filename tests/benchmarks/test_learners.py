"""Three learners take turns on the same lesson; the table has what came of it beside fastai's."""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.learners import __main__ as learners
from benchmarks.learners.by_trainer import settings_of
from benchmarks.learners.lesson import LARGEST_ROTATION, SMALLEST_CROP, Learnt, Lesson
from trainer.recipe import augmentation


def learnt(name: str, accuracy: float, *train_s: float) -> Learnt:
    return Learnt(name, 1e-3, accuracy, 0.1, 1400, list(train_s))


def test_table_has_the_spread_and_the_median_ratio_to_fastai() -> None:
    seen = {
        "by_trainer": [learnt("ours", 0.97, 9, 1, 1, 2), learnt("ours", 0.99, 9, 2, 2, 2)],
        "by_fastai": [learnt("fastai", 0.98, 9, 2, 2, 2), learnt("fastai", 0.98, 9, 8, 8, 8)],
    }
    rows = list(learners.table(seen))[1:]
    spread = "98.00 (97.00 to 99.00) | 0.1000 (0.1000 to 0.1000)"
    assert rows[0] == f"| ours | {spread} | 1050 (700 to 1400) | 3.00 | 0.001, 0.001 |"
    assert rows[1].endswith("| 438 (175 to 700) | 1.00 | 0.001, 0.001 |")


def test_learners_take_turns_and_each_seed_begins_with_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[tuple[int, str, str]] = []

    def output_of(words: Sequence[str], *, folder: Path) -> str:
        lesson = Lesson(**json.loads(words[3]))
        turns.append((lesson.seed, words[2].rpartition(".")[2], words[0]))
        assert (lesson.folder, lesson.size) == (str(tmp_path), 24)
        return "a library's line\n" + json.dumps(asdict(learnt("any", 0.9, 1, 1)))

    monkeypatch.setattr(learners, "output_of", output_of)
    options = Namespace(
        fastai=Path("theirs"), arch="resnet18", size=24, batch_size=32, epochs=2, threads=1, seeds=2
    )
    seen = learners.learn_in_turns(options, tmp_path)
    ours, theirs, plain = (
        ("by_trainer", sys.executable),
        ("by_fastai", "theirs"),
        ("by_torchvision", sys.executable),
    )
    assert turns == [(0, *ours), (0, *theirs), (0, *plain), (1, *theirs), (1, *plain), (1, *ours)]
    assert {name: len(each) for name, each in seen.items()} == dict.fromkeys(seen, 2)


def test_what_digits_imply_is_what_the_others_do_to_images_too(tmp_path: Path) -> None:
    settings = settings_of(Lesson(str(tmp_path / "digits"), "resnet18", 24, 32, 2, 1, 0), tmp_path)
    ours = augmentation(settings)
    assert (ours.min_crop, ours.max_rotation) == (SMALLEST_CROP, LARGEST_ROTATION)
    assert (ours.flip, ours.max_warp, ours.max_lighting) == (False, 0, 0)
