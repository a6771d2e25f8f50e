"""`drive`, the real program, on a Kubernetes whose pods are real processes of `work`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fovea.stores.storage import open_folder
from scorer.cluster.job import job_body
from scorer.files.committed import missing_shards
from tests.scorer.fake_kubernetes import FakeKubernetes, condition, running
from tests.scorer.runs import (
    PATIENCE_S,
    ROOT,
    error_line,
    planned,
    read_rows,
    scorer,
    settings_for,
    started_scorer,
)

NAME = "night-1-work"
SHARDS_OF_FIVE = ("--shard-images", "5")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """Its pods wait for the gate."""
    with running(FakeKubernetes()) as fake:
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path / "kubeconfig")))
        yield fake


@pytest.fixture
def template(tmp_path: Path) -> Path:
    environment = {"FOVEA_SCORE_PROVIDER": "cpu", "FOVEA_SCORE_THREADS": "1"}
    container = {
        "name": "worker",
        "image": "fovea-serve",
        "env": [{"name": name, "value": value} for name, value in environment.items()],
    }
    spec = {"backoffLimitPerIndex": 1, "template": {"spec": {"containers": [container]}}}
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "batch/v1", "kind": "Job", "spec": spec}))
    return path


@pytest.fixture
def arguments(photos: Path, tiny_models: Path, output: Path, template: Path) -> list[str]:
    places = ["--models", str(tiny_models), "--output", str(output), "--job-template", str(template)]
    model = ["--provider", "cpu", "--threads", "1"]
    return ["drive", str(photos), *places, *model, "--run-id", "night-1", *SHARDS_OF_FIVE]


def all_is_scored(output: Path, photos: Path) -> bool:
    keys = [row["key"] for row in read_rows(output)]
    return keys == sorted(path.name for path in photos.iterdir())


def test_a_run_is_planned_scored_by_pods_and_committed(
    fake: FakeKubernetes, arguments: list[str], output: Path, photos: Path
) -> None:
    fake.gate.set()
    result = scorer(*arguments, "--workers", "2")
    assert result.returncode == 0, result.stderr + "".join(fake.logs)
    assert "run night-1: 12 images by tiny version 1" in result.stdout
    assert all_is_scored(output, photos)
    assert json.loads((output / "latest.json").read_text())["run"] == "night-1"
    assert fake.jobs[NAME]["spec"]["completions"] == 2
    assert len(fake.pods) == 2
    assert set(fake.asked) <= {"create", "list", "watch"}


def test_a_run_whose_shards_are_there_needs_no_job(
    fake: FakeKubernetes, arguments: list[str], output: Path
) -> None:
    fake.gate.set()
    assert scorer(*arguments, "--workers", "50").returncode == 0
    assert fake.jobs[NAME]["spec"]["completions"] == 3  # as many as there are shards
    (output / "runs/night-1/_SUCCESS").unlink()
    fake.asked.clear()
    assert scorer(*arguments).returncode == 0
    assert (output / "runs/night-1/_SUCCESS").exists()
    again = scorer(*arguments)
    assert "finished already" in again.stdout
    assert fake.asked == []


def test_a_night_whose_rows_are_all_carried_needs_no_job(
    fake: FakeKubernetes, arguments: list[str], output: Path
) -> None:
    fake.gate.set()
    assert scorer(*arguments).returncode == 0
    fake.asked.clear()
    result = scorer(*arguments, "--run-id", "night-2")
    assert result.returncode == 0, result.stderr
    assert fake.asked == []
    assert json.loads((output / "latest.json").read_text())["run"] == "night-2"
    assert {row["run"] for row in read_rows(output, "night-2")} == {"night-1"}


def test_a_driver_that_is_killed_is_followed_by_one_that_goes_on_with_its_job(
    fake: FakeKubernetes, arguments: list[str], output: Path, photos: Path
) -> None:
    with started_scorer(*arguments) as first:
        assert fake.watched.acquire(timeout=PATIENCE_S)
        first.kill()
    with started_scorer(*arguments) as second:
        assert fake.watched.acquire(timeout=PATIENCE_S)
        fake.gate.set()
        _, log = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, log
    assert "the Job is there already" in log
    assert all_is_scored(output, photos)
    assert len(fake.pods) == 3


def test_at_sigterm_the_job_goes_on_and_the_log_says_so(fake: FakeKubernetes, arguments: list[str]) -> None:
    with started_scorer(*arguments) as driver:
        assert fake.watched.acquire(timeout=PATIENCE_S)
        driver.send_signal(signal.SIGTERM)
        _, log = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 143, log
    assert "the Job goes on" in log
    assert "Traceback" not in log
    assert NAME in fake.jobs


def test_a_pod_that_is_killed_is_replaced(
    fake: FakeKubernetes, arguments: list[str], output: Path, photos: Path
) -> None:
    """The image that the first pod reads is a pipe, so it is in the middle of its shard when it is killed."""
    settings = settings_for(photos, Path(arguments[arguments.index("--models") + 1]), output, *SHARDS_OF_FIVE)
    planned(settings)
    aside = photos / "aside"
    (photos / "007.bmp").rename(aside)
    os.mkfifo(photos / "007.bmp")
    with started_scorer(*arguments, "--workers", "1") as driver:
        fake.gate.set()
        with (photos / "007.bmp").open("wb"):
            fake.pods[0].kill()
            fake.pods[0].wait(PATIENCE_S)
            aside.replace(photos / "007.bmp")
        _, log = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, log
    assert all_is_scored(output, photos)
    assert len(fake.pods) == 2


def test_an_index_that_fails_is_named_and_what_is_scored_stays(
    fake: FakeKubernetes, arguments: list[str], output: Path, photos: Path, tiny_models: Path
) -> None:
    plan = planned(settings_for(photos, tiny_models, output, *SHARDS_OF_FIVE))
    manifest = output / plan.shards[1].manifest
    whole = manifest.read_bytes()
    manifest.write_bytes(b"damaged")
    fake.gate.set()
    result = scorer(*arguments)
    assert result.returncode == 65
    assert (
        "error: Job fovea/night-1-work failed, its indexes 1, whose pods ended with 65 (FailedIndexes: Job "
        "has failed indexes): 1 of 3 shards are missing; for another try at these, kubectl -n fovea delete "
        "job night-1-work, then run again with --run-id night-1"
    ) in result.stderr
    assert missing_shards(open_folder(str(output)), plan) == [1]
    assert not (output / "latest.json").exists()
    assert len(fake.pods) == 3  # bad data is not tried twice

    manifest.write_bytes(whole)
    fake.delete(NAME)
    assert scorer(*arguments).returncode == 0
    assert all_is_scored(output, photos)


def test_a_job_whose_time_is_up_is_no_fault_of_the_data(fake: FakeKubernetes, arguments: list[str]) -> None:
    with started_scorer(*arguments) as driver:
        assert fake.watched.acquire(timeout=PATIENCE_S)
        end = condition("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
        fake.set_status(NAME, {"conditions": [end]})
        _, log = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 69
    assert "(DeadlineExceeded: Job was active longer than specified deadline): 3 of 3 shards" in log


def test_pods_that_wait_are_told_from_those_at_work(fake: FakeKubernetes, arguments: list[str]) -> None:
    """For a node with a GPU, say, or for their image."""
    with started_scorer(*arguments) as driver:
        assert fake.watched.acquire(timeout=PATIENCE_S)
        fake.set_status(NAME, {"active": 3, "ready": 1})
        fake.set_status(NAME, {"conditions": [condition("Failed", "DeadlineExceeded", "too late")]})
        _, log = driver.communicate(timeout=PATIENCE_S)
    assert '"active": 3, "ready": 1, "succeeded": 0, "failed": 0' in log


def test_wrong_settings_of_the_pods_fail_the_job_at_once(
    fake: FakeKubernetes, arguments: list[str], template: Path
) -> None:
    text = template.read_text().replace("FOVEA_SCORE_THREADS", "FOVEA_SCORE_THREDS")
    template.write_text(text)
    fake.gate.set()
    result = scorer(*arguments, "--workers", "1")
    assert result.returncode == 2
    assert "PodFailurePolicy" in result.stderr
    assert len(fake.pods) == 1


def test_a_job_of_that_name_for_another_output_is_left_alone(
    fake: FakeKubernetes, arguments: list[str], template: Path
) -> None:
    other: dict[str, Any] = job_body(yaml.safe_load(template.read_text()), "s3://other/scores", "night-1", 1)
    fake.create(other)
    result = scorer(*arguments)
    assert result.returncode == 2
    assert "is there already, for run night-1 into s3://other/scores; take another --run-id" in result.stderr


def test_a_missing_template_is_one_line(arguments: list[str]) -> None:
    result = scorer(*arguments, "--job-template", "nowhere.yaml")
    assert result.returncode == 2
    assert error_line(result) == (
        "error: --job-template nowhere.yaml: it cannot be read: No such file or directory"
    )


def test_work_takes_its_index_from_the_job(
    photos: Path, tiny_models: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(settings_for(photos, tiny_models, output, *SHARDS_OF_FIVE))
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    work = ["work", "--output", str(output), "--run-id", "night-1", "--provider", "cpu", "--completions", "3"]
    assert scorer(*work).returncode == 0
    assert missing_shards(open_folder(str(output)), plan) == [0, 2]
    assert scorer(*work, "--index", "2").returncode == 0
    assert missing_shards(open_folder(str(output)), plan) == [0]


@pytest.mark.parametrize(
    ("index", "says"),
    [("three", "--index (or FOVEA_SCORE_INDEX): should be a whole number"), ("3", "the last is 2")],
)
def test_an_index_that_is_none_of_the_workers_is_refused(
    index: str, says: str, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", index)
    result = scorer("work", "--output", str(output), "--run-id", "night-1", "--completions", "3")
    assert result.returncode == 2
    assert says in error_line(result)


def test_local_commands_do_not_load_the_kubernetes_client() -> None:
    code = (
        "import sys; from scorer.__main__ import COMMANDS;"
        "[command.load() for name, command in COMMANDS.items() if name != 'drive'];"
        "sys.exit('kubernetes' in sys.modules or 'yaml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
