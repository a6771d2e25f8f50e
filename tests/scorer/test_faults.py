"""A night on which the store, the disk or the machine fails, done to real processes."""

import json
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import SettingsInvalid
from fovea.settings import load
from fovea.stores import connection
from scorer.cluster.driver import drive
from scorer.config import CommitSettings, DriveSettings, PlanSettings, RunSettings, WorkSettings
from scorer.run import commit_run, plan, score
from scorer.scoring.work import work
from tests import tiny
from tests.faulty_store import cut_short, hung, refused, shortened, slow_by, unconditional
from tests.scorer.night import Night, without_names
from tests.scorer.runs import PATIENCE_S, error_line, flags, scorer, started_scorer

SHARDS_OF_FIVE = ("--shard-images", "5")
IMAGES = r"/images/\d"


@pytest.mark.slow
def test_ten_kills_inside_of_shards_leave_every_row_once(night: Night) -> None:
    plan = night.plan(*SHARDS_OF_FIVE)
    for image in range(10):
        night.store.on("GET", f"/images/{image:03}", hung)
        with night.started_work() as process:
            night.store.wait_for_fault()
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait(PATIENCE_S) == -signal.SIGKILL
        assert len(night.shards()) == image // 5, "it was killed inside of the shard, not after it"
        night.store.heal()
    assert night.work().returncode == 0
    night.plan(*SHARDS_OF_FIVE, run="undisturbed")
    assert night.work(run="undisturbed").returncode == 0
    assert len(night.rows()) == plan.images
    assert without_names(night.rows()) == without_names(night.rows("undisturbed"))


def test_sigterm_is_heard_while_the_store_hangs(night: Night) -> None:
    night.plan(*SHARDS_OF_FIVE)
    for method, path in (
        ("GET", "/images/007"),
        ("GET", "list-type=.*data"),
        ("GET", "/plan.json"),
        ("GET", "/manifest-"),
        ("PUT", "/shard-00001"),
    ):
        night.store.on(method, path, hung)
        with night.started_work() as process:
            night.store.wait_for_fault()
            started = time.monotonic()
            process.terminate()
            _, stderr = process.communicate(timeout=PATIENCE_S)
            assert time.monotonic() - started < 20, f"{path}: it waited for the store's own time-out, of 30 s"
        assert process.returncode == 143, path
        *_, last = stderr.splitlines()
        assert last == "error: stopped by SIGTERM; run again with --run-id night-1 to finish", path
        assert "Traceback" not in stderr
        assert set(night.shards()) <= {"shard-00000.parquet"}
        night.store.heal()


def test_a_dry_run_that_is_stopped_has_no_name_to_go_on_with(night: Night) -> None:
    night.store.on("GET", "list-type=.*images", hung)
    places = (f"{night.bucket.uri}/images", f"{night.bucket.uri}/models/tiny", night.output)
    with started_scorer("run", *flags(*places), "--dry-run") as process:
        night.store.wait_for_fault()
        process.terminate()
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert stderr.splitlines()[-1] == "error: stopped by SIGTERM; run again"


def test_two_workers_in_one_shard_leave_each_row_once(night: Night) -> None:
    night.plan()
    both_inside = threading.Event()
    night.store.on("GET", "/images/007", slow_by(both_inside), times=2)
    with night.started_work() as first, night.started_work() as second:
        night.store.wait_for_fault()
        night.store.wait_for_fault()
        both_inside.set()
        said = [process.communicate(timeout=PATIENCE_S)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert sum("another worker was first" in stderr for stderr in said) == 1
    assert sorted(row["key"] for row in night.rows()) == sorted(tiny.fill_folder(night.cache / "names"))


def test_workers_share_the_shards_and_a_restarted_one_does_what_is_missing(night: Night) -> None:
    night.plan("--shard-images", "2")
    assert night.work("--index", "0", "--completions", "2").returncode == 0
    assert night.shards() == [f"shard-0000{index}.parquet" for index in (0, 2, 4)]
    assert night.work("--index", "1", "--completions", "2").returncode == 0
    assert len(night.rows()) == 12

    night.bucket.delete("scores/runs/night-1/data/shard-00002.parquet")
    night.store.requests.clear()
    assert night.work("--index", "0", "--completions", "2").returncode == 0
    assert len(night.rows()) == 12
    assert night.store.count("GET", IMAGES) == 2


def test_work_on_shards_that_are_all_there_is_nothing_to_do(night: Night) -> None:
    night.plan()
    assert night.work().returncode == 0
    night.store.requests.clear()
    again = night.work()
    assert again.returncode == 0
    assert "nothing to do: every shard of this worker is there" in again.stderr
    assert night.store.count("GET", IMAGES) == night.store.count("PUT", "/scores/(plan|runs)") == 0


def test_a_store_that_lets_the_second_worker_win_is_refused_by_every_command(
    night: Night, tmp_path: Path
) -> None:
    night.plan()
    pod = {"containers": [{"name": "worker", "image": "fovea-serve"}]}
    body = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod}}}
    template = tmp_path / "job.json"
    template.write_text(json.dumps(body))
    night.store.on("PUT", "/scores/", unconditional)
    flags = ["--output", night.output, "--run-id", "night-1"]
    models = ["--models", f"{night.bucket.uri}/models/tiny"]
    images = f"{night.bucket.uri}/images"
    cases: dict[str, tuple[type[Any], Callable[[Any], None], list[str]]] = {
        "run": (RunSettings, score, [images, *models]),
        "plan": (PlanSettings, plan, [images, *models]),
        "work": (WorkSettings, work, []),
        "commit": (CommitSettings, commit_run, []),
        "drive": (DriveSettings, drive, [images, *models, "--job-template", str(template)]),
    }
    for name, (settings, command, more) in cases.items():
        with pytest.raises(SettingsInvalid, match="told in vain to write only what is absent"):
            command(load(settings, [*more, *flags], name))
    assert night.shards() == []


def test_an_empty_prefix_is_one_empty_shard(night: Night) -> None:
    night.plan(prefix="nothing/here")
    assert night.work().returncode == 0
    assert (night.shards(), night.rows()) == (["shard-00000.parquet"], [])


def test_a_store_that_is_too_busy_for_a_while_costs_time_and_no_row(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"init_backoff": timedelta(seconds=0.01), "max_backoff": timedelta(seconds=0.02)}
    tries = connection._LONG_RETRIES
    monkeypatch.setitem(tries, "backoff", {**tries["backoff"], **quick})
    for status in (429, 503):
        run = f"night-{status}"
        night.plan(run=run)
        night.store.requests.clear()
        night.store.on("GET", IMAGES, refused(status), times=80)
        night.store.on("PUT", "/shard-", refused(status), times=5)
        night.work_here(run=run)
        assert night.store.count("GET", IMAGES) == 92, "it did not meet all of the refusals"
        assert night.store.count("PUT", "/shard-") == 6
        assert [row["status"] for row in night.rows(run)] == ["ok"] * 12


@pytest.mark.slow
def test_planning_and_committing_wait_for_a_store_that_is_too_busy_for_a_while(night: Night) -> None:
    night.store.on("HEAD", "/nothing", refused(503))  # whoever asks first whether it is there
    night.store.on("GET", "prefix=images", refused(503), times=6)
    night.store.on("GET", "/models/tiny/1/bundle.json", refused(503), times=6)
    night.plan()
    assert night.work().returncode == 0
    night.store.on("GET", "/shard-", refused(503), times=6)
    result = scorer("commit", "--output", night.output, "--run-id", "night-1")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("fault", [refused(503), hung], ids=["503", "hangs"])
def test_a_store_that_fails_for_ever_is_given_up(night: Night, fault: object) -> None:
    night.plan()
    night.store.on("GET", IMAGES, fault)  # type: ignore[arg-type]
    with night.started_work() as process:
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 69
    (line,) = stderr.splitlines()
    assert "12 reads in a row failed" in line
    assert night.shards() == []


def test_a_body_that_breaks_off_is_fetched_on(night: Night) -> None:
    night.plan()
    night.store.on("GET", IMAGES, cut_short, times=12)
    assert night.work().returncode == 0
    assert set(night.statuses().values()) == {"ok"}


def test_a_body_that_is_too_short_is_never_taken_for_a_bad_image(night: Night) -> None:
    night.plan()
    night.store.on("GET", "/images/00[12]", shortened)
    assert night.work().returncode == 0
    rows = {row["key"]: row for row in night.rows()}
    assert {key for key, row in rows.items() if row["status"] != "ok"} == {"001.jpeg", "002.webp"}
    size = rows["001.jpeg"]["size"]
    assert rows["001.jpeg"]["status"] == "unreadable"
    assert rows["001.jpeg"]["error"].endswith(f"001.jpeg: the store gave {size // 2} bytes of {size}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KB, for what is temporary."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_commits_nothing(
    night: Night, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.plan()
    monkeypatch.setenv("TMPDIR", str(small_disk))
    (small_disk / "other").write_bytes(b"x" * 12288)
    result = night.work()
    assert result.returncode == 69
    assert "cannot be written: " in error_line(result)
    assert "No space left on device" in error_line(result)
    assert night.shards() == []
    assert [path.name for path in small_disk.iterdir()] == ["other"]


@pytest.mark.parametrize("limit_bytes", [100, 2500], ids=["manifest", "rows"])
def test_a_file_that_may_not_grow_is_one_line_and_commits_nothing(night: Night, limit_bytes: int) -> None:
    night.plan()
    with night.started_work() as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 69
    (line,) = stderr.splitlines()
    assert "cannot be written: " in line
    assert night.shards() == []


def test_a_model_published_in_the_night_does_not_change_the_run(night: Night, tmp_path: Path) -> None:
    plan = night.plan(*SHARDS_OF_FIVE)
    night.store.on("GET", "/images/007", hung, times=1)
    with night.started_work() as process:
        night.store.wait_for_fault()
        process.kill()
    tiny.publish_bundle(tmp_path / "models" / "tiny", tmp_path / "one")
    tiny.publish_bundle(tmp_path / "models" / "tiny", tmp_path / "two", gain=4.0)
    night.bucket.put_folder("models/tiny/2", tmp_path / "models" / "tiny" / "2")
    assert night.work().returncode == 0
    assert {row["model_digest"] for row in night.rows()} == {plan.spec.model_digest}
    assert {row["model_version"] for row in night.rows()} == {1}


def test_models_that_are_gone_are_one_line(night: Night, tmp_path: Path) -> None:
    night.plan()
    night.store.on("GET", "models", refused(404, "NoSuchBucket"))
    night.store.on("HEAD", "models", refused(404, "NoSuchBucket"))
    result = night.work("--model-cache", str(tmp_path / "a machine that has not seen the model"))
    assert result.returncode == 69
    assert f"{night.bucket.uri}/models/tiny" in error_line(result)
    assert night.shards() == []


def test_wrong_credentials_are_one_line(night: Night) -> None:
    night.plan()
    for method in ("GET", "PUT", "HEAD"):
        night.store.on(method, "", refused(403, "InvalidAccessKeyId"))
    result = night.work()
    assert result.returncode == 69
    assert error_line(result).endswith(": the store refuses these credentials")
    assert night.shards() == []
