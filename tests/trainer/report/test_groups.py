"""What the report says of a split by groups."""

import json
import shutil
from pathlib import Path

import pytest

from tests.trainer.report.made import ANIMALS, ANSWERS, make_page
from tests.trainer.report.test_page import HOSTILE, said
from trainer.images.grouping import GroupLeak, GroupsRecord
from trainer.runs.random_split import RandomSplitRecord
from trainer.runs.run_folder import RunFolder

GROUPS = ["ann"] * 10 + ["bob"] * 10 + [HOSTILE] * 10
"""Of the held-out images; two of ann's are wrong, and one of the third's."""
RECORD = GroupsRecord(
    by="--group patient",
    groups={"train": 9, "heldout": 3},
    images={"train": 90, "heldout": 30},
    largest="ann",
    largest_images=10,
    leaked=[GroupLeak("train/cat/7.png", "of its group 'ann' others are held out")],
    copies=[("ann: 1.png", "zoe: 2.png")],
)


@pytest.fixture
def grouped_run(run_of_a_given_rate: Path, tmp_path: Path) -> Path:
    run = Path(shutil.copytree(run_of_a_given_rate, tmp_path / "run"))
    audit = json.loads((run / "audit.json").read_text())
    (run / "audit.json").write_text(json.dumps({**audit, "groups": RECORD.model_dump(mode="json")}))
    return run


def test_report_tells_the_groups_and_that_a_random_split_was_not_tried(
    trained: Path, grouped_run: Path
) -> None:
    page = make_page(trained, ANIMALS, ANSWERS, run=grouped_run, groups=GROUPS)
    text = said(page)
    assert "keeps groups whole (--group patient): 9 to train on, 3 held out, none on two sides" in text
    assert (
        "90.00 % of 30 held-out images of 3 groups (95 % confidence interval, as far as groups differ, "
        in text
    )
    assert "was not measured: --compare-random-split trains the same recipe once more" in text
    assert "Group Images Right ann 10 80.0 %" in text
    assert "Its held-out images are of 3 groups only, and others may be unlike them." in text
    assert "of whose group a later part has others" in text
    assert "the same or nearly the same pictures, though their groups should differ" in text
    assert HOSTILE not in page


def test_report_tells_by_how_much_a_random_split_flatters(trained: Path, grouped_run: Path) -> None:
    record = RandomSplitRecord(right=490, images=500, trained_on=85)
    RunFolder(grouped_run).write_record("random_split.json", record)
    text = said(make_page(trained, ANIMALS, ANSWERS, run=grouped_run, groups=GROUPS))
    assert "the same recipe reaches 98.00 % of 500 held-out images" in text
    assert "such a split would flatter the model by 8.0 points (95 % confidence interval" in text
    assert ", which chance alone may give" in text
    assert "It was trained on 85 images, this one on 48" in text


def test_report_of_a_split_without_groups_says_nothing_of_them(page: str) -> None:
    assert 'href="#groups"' not in page
    assert "belong together" not in page
