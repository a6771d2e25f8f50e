from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fovea.capture.reading import read_captures
from fovea.capture.rows import Captured
from fovea.errors import Unavailable
from fovea.stores.folder import Folder
from fovea.stores.storage import LocalFolder, open_folder
from scorer.estimate.dry_run import dry_run
from scorer.files.plan import Plan
from scorer.files.rows import TopLabels
from scorer.files.summary import RunSummary
from scorer.planning import class_drift
from scorer.planning.class_drift import drifting_labels
from scorer.scoring import capturing
from scorer.scoring.capturing import ShardCaptures, capture_spec_of
from scorer.scoring.pipeline import Scored
from scorer.scoring.work import resources_of, score_shards
from tests.scorer.runs import planned, read_rows, settings_for

ALL = ("--capture-share", "1")


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    return tmp_path / "captures"


class Run:
    """Planned, of 12 good images in three shards; captured is what its options say."""

    def __init__(self, photos: Path, models: Path, output: Path, captures: Path, *options: str) -> None:
        chosen = ("--capture", str(captures), *(options or ALL), "--shard-images", "5", "--distances")
        self.settings = settings_for(photos, models, output, *chosen)
        self.output, self.plan = output, planned(self.settings)

    def score(self, *shards: int) -> None:
        score_shards(
            open_folder(str(self.output)), self.plan, shards or range(3), resources_of(self.settings)
        )


def captured(folder: Path) -> list[Captured]:
    return list(read_captures(str(folder)))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.parquet"))


def test_a_run_captures_what_its_rows_say_with_the_images(
    photos: Path, tiny_models: Path, output: Path, captures: Path
) -> None:
    (photos / "0051-bad.png").write_bytes(b"bad")
    run = Run(photos, tiny_models, output, captures)
    run.score()
    rows = {row["key"]: row for row in read_rows(output) if row["status"] == "ok"}
    found = captured(captures)
    assert [row.key for row in found] == list(rows), "each once, and no failure"
    for row in found:
        assert row.image == (photos / str(row.key)).read_bytes()
        said = rows[row.key]
        assert (row.label, row.unknown) == (said["label"], said["unknown"])
        assert list(row.top_probabilities) == said["top_probabilities"]
        assert (row.run, row.model_digest) == ("night-1", said["model_digest"])
    planned_at = f"{run.plan.created:%Y%m%dT%H%M%SZ}"
    assert names(captures) == [f"fovea-capture-{planned_at}-night-1-{n:05}.parquet" for n in range(3)]


def test_a_shard_that_is_scored_again_after_a_crash_captures_the_same_once(
    photos: Path, tiny_models: Path, output: Path, captures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(photos, tiny_models, output, captures, "--capture-share", "0.5")
    put_if_absent = LocalFolder.put_if_absent

    def crash(self: LocalFolder, key: str, data: Any) -> bool:
        if "shard" in key:
            raise Unavailable("gone")
        return put_if_absent(self, key, data)

    with monkeypatch.context() as patched:
        patched.setattr(LocalFolder, "put_if_absent", crash)
        with pytest.raises(Unavailable):
            run.score(0)
    first = captured(captures)
    run.score()
    assert [row for row in captured(captures) if row in first] == first
    keys = [row.key for row in captured(captures)]
    assert len(keys) == len(set(keys)) < 12
    assert len(read_rows(output)) == 12
    again = Run(photos, tiny_models, output.with_name("again"), captures.with_name("again"), *ALL[:1], "0.5")
    again.score()
    assert [row.key for row in captured(captures.with_name("again"))] == keys, "drawn by the run's name"


def test_a_store_that_fails_costs_the_captures_and_no_row(
    photos: Path, tiny_models: Path, output: Path, captures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    captures.write_text("in the way")
    Run(photos, tiny_models, output, captures).score(0)
    assert len(read_rows(output)) == 5
    assert "captures cannot be written and are lost" in caplog.text


def test_a_store_that_failed_is_not_tried_for_long_again_until_it_is_back(
    plan: Plan,
    photos: Path,
    captures: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried_long: list[bool] = []

    def opened(uri: str, *, long_retries: bool) -> Folder:
        tried_long.append(long_retries)
        return open_folder(uri)

    def fail(*given: object) -> str:
        raise RuntimeError("a fault")

    monkeypatch.setattr(capturing, "open_folder", opened)
    captures.write_text("in the way")
    put_one(plan, photos)
    put_one(plan, photos)
    captures.unlink()
    put_one(plan, photos)
    with monkeypatch.context() as patched:
        patched.setattr(capturing, "put_window", fail)
        put_one(plan, photos)
    put_one(plan, photos)
    assert tried_long == [True, False, False, True, False]
    assert caplog.text.count("captures cannot be written and are lost") == 3
    assert len(captured(captures)) == 1


def put_one(plan: Plan, photos: Path) -> None:
    """The captures of a shard, of which there is one."""
    spec = capture_spec_of(plan, 0)
    assert spec is not None
    shard = ShardCaptures(spec, plan.spec)
    close = TopLabels(labels=("red", "blue"), probabilities=(0.5, 0.45), abstained=False, margin=0.05)
    (entry, *_) = open_folder(str(photos)).entries()
    shard.offer(Scored([entry], [close], [b"0"]), datetime.now(UTC))
    shard.put()


def test_a_runs_budget_is_shared_by_what_shards_have_to_score(
    photos: Path, tiny_models: Path, output: Path, captures: Path
) -> None:
    options = (*ALL, "--capture-per-run", "7", "--capture-bytes-per-run", "1201", "--no-capture-images")
    run = Run(photos, tiny_models, output, captures, *options)
    budgets = [spec.budget for shard in range(3) if (spec := capture_spec_of(run.plan, shard))]
    assert [budget.images for budget in budgets] == [2, 3, 2]
    assert [budget.size_bytes for budget in budgets] == [500, 500, 201]
    run.score()
    assert 0 < len(captured(captures)) <= 7
    assert {row.image for row in captured(captures)} == {None}


def test_a_dry_run_captures_nothing(photos: Path, tiny_models: Path, output: Path, captures: Path) -> None:
    dry_run(settings_for(photos, tiny_models, output, "--dry-run", "--capture", str(captures), *ALL))
    assert not captures.exists()


@pytest.fixture
def plan(photos: Path, tiny_models: Path, output: Path, captures: Path) -> Plan:
    return Run(photos, tiny_models, output, captures, "--capture-share", "0").plan


def test_what_speaks_for_a_row_is_told(plan: Plan, photos: Path, captures: Path) -> None:
    drifts = plan.model_copy(update={"drifting": ("green",)})
    spec = capture_spec_of(drifts, 0)
    assert spec is not None
    shard = ShardCaptures(spec, plan.spec)
    entries = list(open_folder(str(photos)).entries())
    two: dict[str, Any] = {"labels": ("red", "blue"), "probabilities": (0.7, 0.3), "abstained": False}
    tops = [
        TopLabels(**two, margin=0.4),
        TopLabels(**two, margin=0.09),
        TopLabels(**two | {"abstained": True}, margin=0.4),
        TopLabels(**two, unknown=True, margin=0.4),
        TopLabels(**two | {"labels": ("green", "red")}, margin=0.4),
    ]
    shard.offer(Scored(entries[:5], [*tops], [b"0", b"1", b"2", b"3", b"4"]), datetime.now(UTC))
    shard.put()
    reasons = {row.image: row.reason for row in captured(captures)}
    assert reasons == {b"1": "small_margin", b"2": "abstained", b"3": "unknown", b"4": "drifting_class"}


def test_which_classes_drift_is_what_the_last_run_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    output = LocalFolder(tmp_path)
    assert drifting_labels(output) == (), "there was none"
    output.write("latest.json", b'{"run": "night-1", "planned": "2026-11-30T00:00:00+00:00"}')
    assert drifting_labels(output) == ()
    assert "it is not known which classes drift" in caplog.text
    made: Any = RunSummary.model_construct
    held_out = SimpleNamespace(labels={"cat": 100, "dog": 100, "hen": 100})
    for summary, drifting in (
        (made(labels={"cat": 700, "dog": 350}, held_out=held_out), ("cat", "hen")),
        (made(labels={"cat": 700, "dog": 350}, held_out=None), ()),
    ):
        monkeypatch.setattr(class_drift, "read_summary", lambda *given, told=summary: told)
        assert drifting_labels(output) == drifting
