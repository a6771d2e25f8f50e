"""A night that finds nothing, after one that found something."""

import json
from pathlib import Path

import pytest

from fovea.errors import DataInvalid
from tests.scorer.made_runs import Image, commit, make_run


def latest(output: Path) -> str:
    return str(json.loads((output / "latest.json").read_text())["run"])


@pytest.mark.parametrize("source", ["s3://bucket/images", "s3://bucket/imagez"])
def test_a_run_without_images_does_not_take_the_place_of_one_with_some(output: Path, source: str) -> None:
    commit(*make_run(output, [[Image("a.jpg")]], "night-1", day=1, source="s3://bucket/images"))
    empty = make_run(output, [[]], "night-2", day=2, source=source)
    with pytest.raises(DataInvalid, match="run night-2: it has no image, and the last run, night-1, has 1"):
        commit(*empty)
    assert latest(output) == "night-1"
    assert not (output / "runs/night-2/_SUCCESS").exists()
    assert "This run was not accepted" in (output / "runs/night-2/summary.html").read_text()

    commit(*empty, "--max-bad-fraction", "1")
    assert latest(output) == "night-2"


def test_accepting_a_night_after_a_later_one_says_that_latest_json_stays(
    output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commit(*make_run(output, [[Image("a.jpg")]], "night-1", day=1))
    empty = make_run(output, [[]], "night-2", day=2)
    with pytest.raises(DataInvalid):
        commit(*empty)
    commit(*make_run(output, [[Image("a.jpg")]], "night-3", day=3))
    commit(*empty, "--max-bad-fraction", "1")
    assert latest(output) == "night-3"
    assert caplog.messages[-1].startswith("latest.json stays: it names night-3, which was planned later")


def test_an_empty_run_may_follow_an_empty_one(output: Path) -> None:
    for day in (1, 2):
        commit(*make_run(output, [[]], f"night-{day}", day=day))
    assert latest(output) == "night-2"
