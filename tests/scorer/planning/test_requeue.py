"""Runs that try the bad images of another once more."""

import json
from pathlib import Path

import pytest

from fovea.errors import SettingsInvalid
from fovea.images import formats
from fovea.settings import load
from fovea.stores.storage import open_folder
from scorer.config import RunSettings
from scorer.files.latest import move_latest
from scorer.run import score
from tests import tiny
from tests.scorer.runs import error_line, flags, planned, read_rows, scorer, settings_for, statuses


@pytest.fixture
def first(photos: Path, tiny_models: Path, output: Path) -> RunSettings:
    """A finished run night-1 over 14 images, of which bad.jpg is undecodable and wide.png too large."""
    (photos / "bad.jpg").write_bytes(b"bad")
    (photos / "wide.png").write_bytes(tiny.picture("red", (120, 120)))
    settings = settings_for(
        photos, tiny_models, output, "--max-image-pixels", "9000", "--top-k", "2", "--shard-images", "5"
    )
    score(settings)
    return settings


def requeue(
    models: Path, output: Path, *more: str, earlier: str = "night-1", run: str = "again"
) -> RunSettings:
    places = ("--models", str(models), "--output", str(output), "--requeue", earlier, "--run-id", run)
    return load(RunSettings, [*places, "--provider", "cpu", "--threads", "1", *more], "scorer")


def latest(output: Path) -> str:
    return str(json.loads((output / "latest.json").read_bytes())["run"])


def test_only_what_was_not_ok_is_read_again(
    first: RunSettings, photos: Path, tiny_models: Path, output: Path
) -> None:
    (photos / "bad.jpg").write_bytes(tiny.picture("green"))
    for image in photos.glob("0*"):
        image.unlink()  # from here on, whoever reads one finds it gone
    score(requeue(tiny_models, output, "--max-image-pixels", "90000"))
    rows = read_rows(output, "again")
    assert {row["status"] for row in rows} == {"ok"}
    assert [row["key"] for row in rows if row["run"] == "again"] == ["bad.jpg", "wide.png"]
    assert [row for row in rows if row["run"] == "night-1"] == [
        row for row in read_rows(output) if row["status"] == "ok"
    ]
    assert latest(output) == "again"


def test_rows_of_other_decoders_are_not_carried_beyond_the_run_that_requeued_them(
    first: RunSettings, photos: Path, tiny_models: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the decoder of what had failed was installed: what was ok stays, for this run alone."""
    older = planned(first).spec.image_path
    newer = {**formats.image_path(), "libheif": "2.0"}
    monkeypatch.setattr(formats, "image_path", lambda: newer)
    (photos / "bad.jpg").write_bytes(tiny.picture("green"))
    settings = requeue(tiny_models, output, "--max-image-pixels", "90000")
    assert planned(settings).spec.earlier_image_path == older
    score(settings)  # with the plan that there is
    chained = requeue(tiny_models, output, earlier="again", run="once-more")
    assert planned(chained).spec.earlier_image_path == older
    assert {row["status"] for row in read_rows(output, "again")} == {"ok"}
    same = ("--max-image-pixels", "90000", "--top-k", "2")
    second = settings_for(photos, tiny_models, output, *same, run="night-2")
    assert planned(second).carried == 0
    score(second)
    assert planned(settings_for(photos, tiny_models, output, *same, run="night-3")).carried == 14


def test_the_plan_says_what_it_requeues(first: RunSettings, tiny_models: Path, output: Path) -> None:
    plan = planned(requeue(tiny_models, output))
    assert (plan.requeues, plan.previous, plan.carried, plan.images) == ("night-1", "night-1", 12, 14)
    assert (plan.spec.source, plan.spec.top_k) == (first.source, 2)
    assert plan.spec.max_image_pixels == 9000


def test_what_is_still_bad_gets_its_row(
    first: RunSettings, photos: Path, tiny_models: Path, output: Path
) -> None:
    (photos / "bad.jpg").unlink()
    score(requeue(tiny_models, output))
    after = statuses(output, "again")
    assert (after["bad.jpg"], after["wide.png"], len(after)) == ("gone", "too_large", 14)


def test_a_requeue_can_be_requeued(first: RunSettings, tiny_models: Path, output: Path) -> None:
    score(requeue(tiny_models, output))
    score(requeue(tiny_models, output, "--max-image-pixels", "90000", earlier="again", run="once-more"))
    assert statuses(output, "once-more")["wide.png"] == "ok"
    assert latest(output) == "once-more"


def test_a_requeue_that_is_planned_needs_the_other_runs_plan_no_longer(
    first: RunSettings, tiny_models: Path, output: Path
) -> None:
    plan = planned(requeue(tiny_models, output))
    (output / "plan" / "night-1" / "plan.json").unlink()
    assert planned(requeue(tiny_models, output)) == plan


def test_a_requeue_keeps_to_the_version_of_its_run(photos: Path, output: Path, tmp_path: Path) -> None:
    models = tmp_path / "models" / "tiny"
    tiny.publish_bundle(models, tmp_path / "one")
    score(settings_for(photos, models, output))
    tiny.publish_bundle(models, tmp_path / "two", gain=4.0)
    assert planned(requeue(models, output)).spec.model_version == 1
    with pytest.raises(SettingsInvalid, match=r"rows are by model tiny version 1 \(digest .*, not version 2"):
        planned(requeue(models, output, "--model-version", "2", run="other"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["elsewhere"], "--requeue night-1: it was planned with SOURCE"),
        (["--top-k", "5"], "it was planned with --top-k 2, not 5; leave it out"),
        (["--exclude", "0*"], "it was planned with --exclude nothing, not 0*"),
        (["--max-image-pixels", "100"], "planned with --max-image-pixels 9000, not 100"),
        (["--full"], "--full scores every image, --requeue only those that are not ok"),
        (["--run-id", "night-1"], "--requeue night-1: this makes a run of its own"),
    ],
)
def test_what_would_not_fit_the_requeued_rows_is_refused(
    more: list[str], says: str, first: RunSettings, tiny_models: Path, output: Path
) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        planned(requeue(tiny_models, output, *more))
    assert says in str(caught.value)


def test_the_same_source_may_be_given(first: RunSettings, tiny_models: Path, output: Path) -> None:
    assert planned(requeue(tiny_models, output, first.source)).images == 14


def test_a_planned_run_does_not_become_a_requeue(
    first: RunSettings, photos: Path, tiny_models: Path, output: Path
) -> None:
    planned(settings_for(photos, tiny_models, output, run="again"))
    with pytest.raises(SettingsInvalid, match="again: this run was planned without --requeue night-1"):
        planned(requeue(tiny_models, output))


def test_an_unknown_or_unfinished_run_is_one_line(
    photos: Path, tiny_models: Path, output: Path, tmp_path: Path
) -> None:
    planned(settings_for(photos, tiny_models, output, run="begun"))
    for run, says in {
        "nothing": "there is no plan of a run nothing",
        "begun": "run begun is not finished",
    }.items():
        result = scorer("run", *flags(photos, tiny_models, output, "--requeue", run))
        assert result.returncode == 65
        assert says in error_line(result)


def test_a_requeue_takes_the_place_of_its_run_and_no_others(
    first: RunSettings, photos: Path, tiny_models: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    score(settings_for(photos, tiny_models, output, run="night-2"))
    score(requeue(tiny_models, output))
    assert latest(output) == "night-2"
    assert "latest.json stays: it names night-2, and not night-1, which is requeued" in caplog.text


def test_a_requeue_that_is_latest_stays_it(first: RunSettings, tiny_models: Path, output: Path) -> None:
    settings = requeue(tiny_models, output)
    score(settings)
    move_latest(open_folder(str(output)), planned(settings))
    assert latest(output) == "again"


def test_a_requeue_makes_no_latest_where_there_is_none(
    first: RunSettings, tiny_models: Path, output: Path
) -> None:
    (output / "latest.json").unlink()
    score(requeue(tiny_models, output))
    assert not (output / "latest.json").exists()


def test_a_night_planned_before_a_requeue_takes_its_place_all_the_same(
    first: RunSettings, photos: Path, tiny_models: Path, output: Path
) -> None:
    night = settings_for(photos, tiny_models, output, "--full", run="night-2")
    planned(night)
    score(requeue(tiny_models, output))  # of night-1, whose images are older than those of night-2
    score(night)
    assert latest(output) == "night-2"


def test_a_requeued_run_that_is_committed_again_does_not_come_back(
    first: RunSettings, tiny_models: Path, output: Path
) -> None:
    score(requeue(tiny_models, output))
    score(first)
    assert latest(output) == "again"
