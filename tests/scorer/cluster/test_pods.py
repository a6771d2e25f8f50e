"""What the driver hears of a Job's pods: why they wait, and how they ended."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fovea.errors import DataInvalid, FoveaError, SettingsInvalid, Unavailable
from fovea.settings import load
from scorer.cluster.api import connect
from scorer.cluster.driver import drive
from scorer.cluster.job_end import failure, indexes
from scorer.cluster.pods import Pods
from scorer.config import DriveSettings
from scorer.files.folders import open_output
from scorer.planning.planner import plan_run
from tests.scorer.fake_kubernetes import Failure, FakeKubernetes, running
from tests.scorer.fake_kubernetes.job_controller import backoff_s
from tests.scorer.fake_kubernetes.progress import as_ranges
from tests.scorer.runs import PATIENCE_S

NAME = "night-1-work"
NO_NODE = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """Its pods wait for the gate."""
    with running(FakeKubernetes()) as fake:
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path / "kubeconfig")))
        yield fake


@pytest.fixture
def pods(fake: FakeKubernetes) -> Pods:
    return Pods(connect(None), NAME)


def unscheduled(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"conditions": [condition]}


def test_what_pods_wait_for_is_told_in_the_clusters_words(fake: FakeKubernetes, pods: Pods) -> None:
    assert pods.waiting_for() == {}
    fake.objects.add(NAME, 0)  # it only just begins
    assert pods.waiting_for() == {}
    fake.report(f"{NAME}-0-0", "Pod", "FailedMount", "MountVolume.SetUp failed:  the disk is in use")
    assert pods.waiting_for() == {"FailedMount: MountVolume.SetUp failed: the disk is in use": 1}
    fake.objects.held_up = unscheduled(NO_NODE)
    for index in (1, 2):
        fake.objects.add(NAME, index)
    fake.objects.run(NAME, 0)
    assert pods.waiting_for() == {f"Unschedulable: {NO_NODE}": 2}
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    fake.objects.held_up = {"containerStatuses": [{"name": "worker", "state": {"waiting": waiting}}]}
    fake.objects.add(NAME, 3)
    assert pods.waiting_for()["ImagePullBackOff: no such image"] == 1


def test_what_keeps_pods_from_being_made_is_told_too(fake: FakeKubernetes, pods: Pods) -> None:
    fake.report(NAME, "Job", "FailedCreate", 'pods "x" is forbidden: exceeded quota: fovea')
    fake.report("another-job", "Job", "FailedCreate", "of no concern")
    assert pods.waiting_for() == {'FailedCreate: pods "x" is forbidden: exceeded quota: fovea': 1}


def test_without_the_rights_it_knows_less_and_says_so_once(
    fake: FakeKubernetes, pods: Pods, caplog: pytest.LogCaptureFixture
) -> None:
    (role,) = [m for m in fake.rights.manifests if m["kind"] == "Role"]
    role["rules"] = [rule for rule in role["rules"] if "batch" in rule["apiGroups"]]
    fake.objects.add(NAME, 0)
    assert (pods.waiting_for(), pods.waiting_for(), pods.exit_codes()) == ({}, {}, {})
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert (
        'does not tell of pods: pods is forbidden: User "system:serviceaccount:fovea:fovea-score"'
        in warnings[0]
    )


@pytest.fixture
def settings(photos: Path, tiny_models: Path, output: Path, tmp_path: Path) -> DriveSettings:
    """Of a night of three indexes, whose pods do what `says` has written."""
    template = tmp_path / "job.yaml"
    places = ["--models", str(tiny_models), "--output", str(output), "--job-template", str(template)]
    night = ["--run-id", "night-1", "--shard-images", "5", "--workers", "3", "--provider", "cpu"]
    return load(DriveSettings, [str(photos), *places, *night], "scorer drive")


def says(settings: DriveSettings, script: str, **spec: object) -> None:
    container = {"name": "worker", "image": "x", "command": ["sh", "-c"], "args": [script]}
    template = {"spec": {"containers": [container]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {**spec, "template": template}}
    Path(settings.job_template).write_text(yaml.safe_dump(job))


CASES = {
    "a store that is away": ("exit 69", 1, Unavailable, "MaxFailedIndexesExceeded", "ended with 69"),
    "killed": ("kill -9 $$", 1, Unavailable, "MaxFailedIndexesExceeded", "ended with 137"),
    "bad data": ("exit 65", 1, DataInvalid, "MaxFailedIndexesExceeded", "ended with 65"),
    "bad data in one": (
        *("test $JOB_COMPLETION_INDEX = 1 && exit 65; exit 69", 3),
        *(DataInvalid, "FailedIndexes", "ended with 65, 69"),
    ),
    "wrong settings": ("exit 2", 1, SettingsInvalid, "PodFailurePolicy", "ended with"),
}
"""What the pods do, how many indexes may fail -> what the driver raises, and says."""


@pytest.mark.parametrize("case", CASES)
def test_the_driver_ends_as_its_workers_did(fake: FakeKubernetes, settings: DriveSettings, case: str) -> None:
    script, may_fail, kind, reason, ended = CASES[case]
    says(settings, script, backoffLimitPerIndex=1, maxFailedIndexes=may_fail)
    fake.gate.set()
    with pytest.raises(kind) as caught:
        drive(settings)
    assert type(caught.value) is kind
    assert f"({reason}: " in str(caught.value)
    assert ended in str(caught.value)


def test_wrong_settings_count_beside_indexes_that_were_given_up_before(settings: DriveSettings) -> None:
    condition = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "exit code 2"}
    job = {"status": {"failedIndexes": "1", "conditions": [condition]}}
    plan = plan_run(settings, open_output(settings.output))
    error = failure(f"fovea/{NAME}", job, {0: {143}, 1: {69}, 2: {2}}, [0, 1, 2], plan)
    assert type(error) is SettingsInvalid
    assert "whose pods ended with 2, 69, 143" in str(error)


def test_each_index_has_its_tries_and_waits_longer_before_each(
    fake: FakeKubernetes, settings: DriveSettings, caplog: pytest.LogCaptureFixture
) -> None:
    says(settings, "test $JOB_COMPLETION_INDEX = 1 && exit 69; exit 0", maxFailedIndexes=1)
    fake.gate.set()
    caplog.set_level(logging.INFO)
    with pytest.raises(FoveaError, match=r"failed, its indexes 1, whose pods ended with 69 \(FailedIndexes"):
        drive(settings)
    tries = fake.jobs[NAME]["spec"]["backoffLimitPerIndex"] + 1
    assert len(fake.kubelet.of_index(1)) == tries == 6
    assert [len(fake.kubelet.of_index(index)) for index in (0, 2)] == [1, 1]
    assert fake.delays_s == [10, 20, 40, 80, 160]
    (last,) = [record for record in caplog.records if record.message == "scoring"][-1:]
    assert (last.failed, last.succeeded, last.failed_indexes) == (6, 2, "1")  # type: ignore[attr-defined]


def test_the_log_says_why_pods_wait(
    fake: FakeKubernetes, settings: DriveSettings, caplog: pytest.LogCaptureFixture
) -> None:
    says(settings, "exit 2")
    fake.objects.held_up = unscheduled(NO_NODE)
    fake.fail("watch", Failure(200))  # as it ends when twice a minute is over
    threading.Thread(target=_open_when_watched_twice, args=(fake,)).start()
    with pytest.raises(SettingsInvalid):
        drive(settings)
    warnings = [vars(record) for record in caplog.records if record.message == "pods wait"]
    assert [(one["pods"], one["for"]) for one in warnings] == [(3, f"Unschedulable: {NO_NODE}")]


def _open_when_watched_twice(fake: FakeKubernetes) -> None:
    assert fake.watched.acquire(timeout=PATIENCE_S)
    fake.gate.set()


def test_indexes_are_read_as_the_job_controller_writes_them() -> None:
    for numbers in ({0}, {0, 1}, {0, 2, 3, 4, 9}, {1, 3, 5}):
        assert set(indexes(as_ranges(numbers))) == numbers
    assert as_ranges({0, 2, 3, 4, 7, 8}) == "0,2-4,7,8"


def test_the_delay_doubles_up_to_ten_minutes() -> None:
    assert [backoff_s(failures) for failures in (1, 2, 6, 7, 8, 20)] == [10, 20, 320, 600, 600, 600]
