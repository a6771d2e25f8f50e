"""Talking with the API server: what is waited for, what is an error, and what is missed by nobody."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import SettingsInvalid, Unavailable
from scorer.cluster import api
from scorer.cluster.api import connect
from scorer.cluster.job import job_body
from scorer.cluster.jobs import Jobs
from tests.scorer.cluster.test_job import MINIMAL
from tests.scorer.fake_kubernetes import ADMINISTRATOR, Failure, FakeKubernetes, Rights, running
from tests.scorer.fake_kubernetes.credentials import write_kubeconfig

NAME = "night-1-work"
BUSY = [Failure(429, headers={"Retry-After": "0"}), Failure(500), Failure(503), Failure(0)]


@pytest.fixture
def fake() -> Iterator[FakeKubernetes]:
    with running(FakeKubernetes(runs_pods=False)) as fake:
        yield fake


@pytest.fixture
def jobs(fake: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path / "kubeconfig")))
    monkeypatch.setattr(api, "FIRST_WAIT_S", 0.01)
    return Jobs(connect(None))


def body() -> dict[str, Any]:
    return job_body(MINIMAL, "s3://bucket/scores", "night-1", 3)


def active(job: dict[str, Any]) -> int:
    return int(job.get("status", {}).get("active", 0))


def test_the_namespace_is_the_contexts_unless_it_is_given(jobs: Jobs) -> None:
    assert jobs.namespace == "fovea"
    assert connect("elsewhere").namespace == "elsewhere"


def test_without_a_cluster_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(Unavailable, match=r"no pod's account \(Service .*\), and no kubeconfig \(Invalid"):
        connect(None)


def test_a_job_is_created_once(jobs: Jobs, fake: FakeKubernetes) -> None:
    assert jobs.create(body())
    assert not jobs.create(body())
    assert list(fake.jobs) == [NAME]


def test_an_api_that_is_busy_or_drops_the_line_is_asked_again(jobs: Jobs, fake: FakeKubernetes) -> None:
    fake.fail("create", *BUSY)
    fake.fail("list", *BUSY)
    assert jobs.create(body())
    assert next(jobs.follow(NAME))["metadata"]["name"] == NAME
    assert fake.asked == ["create"] * 5 + ["list"] * 5


def test_two_requests_that_met_at_a_quota_are_no_sign_of_the_job(jobs: Jobs, fake: FakeKubernetes) -> None:
    said = 'Operation cannot be fulfilled on resourcequotas "fovea": the object has been modified'
    fake.fail("create", Failure(409, said, reason="Conflict"))
    assert jobs.create(body())
    assert fake.asked == ["create"] * 2


def test_an_api_that_stays_away_is_given_up(
    jobs: Jobs, fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PATIENCE_S", 0.05)
    fake.fail("create", *[Failure(503)] * 1000)
    with pytest.raises(Unavailable, match="has not answered for 0 s: as the test has it"):
        jobs.create(body())


def test_an_api_where_nothing_listens_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while its only node restarts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "kubeconfig", url, "fovea", "x")))
    monkeypatch.setattr(api, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(api, "PATIENCE_S", 0.05)
    with pytest.raises(Unavailable, match=r"has not answered for 0 s: .* refused"):
        Jobs(connect(None)).create(body())


def test_a_job_with_a_field_that_does_not_exist_is_a_wrong_setting(jobs: Jobs, fake: FakeKubernetes) -> None:
    with pytest.raises(SettingsInvalid, match=r"does not take the Job: strict decoding error: .*'retries'"):
        jobs.create({**body(), "spec": {**body()["spec"], "retries": 3}})
    assert fake.jobs == {}


def test_a_job_that_the_api_refuses_is_a_wrong_setting(jobs: Jobs, fake: FakeKubernetes) -> None:
    fake.fail("create", Failure(422, "Job is invalid: spec.template.spec.restartPolicy: Required value"))
    with pytest.raises(SettingsInvalid, match=r"does not take the Job: Job is invalid: .* Required"):
        jobs.create(body())


def test_a_namespace_that_does_not_exist_is_a_wrong_setting(
    jobs: Jobs, fake: FakeKubernetes, tmp_path: Path
) -> None:
    fake.kubeconfig(tmp_path / "kubeconfig", ADMINISTRATOR)
    with pytest.raises(SettingsInvalid, match='namespaces "elsewhere" not found'):
        Jobs(connect("elsewhere")).create(body())


def test_the_drivers_rights_end_with_its_namespace(jobs: Jobs) -> None:
    with pytest.raises(Unavailable, match=r'cannot create resource "jobs" .* in the namespace "elsewhere"'):
        Jobs(connect("elsewhere")).create(body())


def test_a_token_that_is_nobodys_is_refused(jobs: Jobs, fake: FakeKubernetes) -> None:
    fake.rights = Rights([])
    with pytest.raises(Unavailable, match="cannot be created: the Kubernetes API says: Unauthorized"):
        jobs.create(body())


def cron_job(name: str = "fovea-score-work") -> dict[str, Any]:
    metadata = {"labels": {"team": "pets"}, "annotations": {"note": "x"}}
    job = {"metadata": metadata, "spec": MINIMAL["spec"]}
    spec = {"schedule": "0 0 31 2 *", "suspend": True, "jobTemplate": job}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


def test_the_template_of_a_cron_job_is_the_job_that_it_would_create(jobs: Jobs, fake: FakeKubernetes) -> None:
    fake.fail("get", *BUSY)
    fake.cron_jobs["fovea-score-work"] = cron_job()
    template = jobs.template_of("fovea-score-work")
    assert template == {**MINIMAL, "metadata": cron_job()["spec"]["jobTemplate"]["metadata"]}
    assert jobs.create(job_body(template, "s3://bucket/scores", "night-1", 3))


def test_fields_of_a_newer_kubernetes_are_neither_refused_nor_lost(jobs: Jobs, fake: FakeKubernetes) -> None:
    fake.newer_fields = frozenset({"future"})
    fake.cron_jobs["fovea-score-work"] = cron_job()
    fake.cron_jobs["fovea-score-work"]["spec"]["jobTemplate"]["spec"] = {**MINIMAL["spec"], "future": 1}
    job = job_body(jobs.template_of("fovea-score-work"), "s3://bucket/scores", "night-1", 3)
    jobs.create(job)
    assert fake.jobs[job["metadata"]["name"]]["spec"]["future"] == 1
    assert next(jobs.follow(job["metadata"]["name"]))["spec"]["completions"] == 3


def test_a_template_that_is_not_there_is_a_wrong_setting(jobs: Jobs) -> None:
    with pytest.raises(
        SettingsInvalid, match="--job-template cronjob/fovea-score-work: there is none in the"
    ):
        jobs.template_of("fovea-score-work")


def test_no_other_cron_job_can_be_read(jobs: Jobs) -> None:
    with pytest.raises(Unavailable, match=r"CronJob fovea/other cannot be read: .* forbidden: User"):
        jobs.template_of("other")


@pytest.mark.parametrize("verb", ["create", "list", "watch"])
def test_what_is_forbidden_is_named_in_the_apis_words(jobs: Jobs, fake: FakeKubernetes, verb: str) -> None:
    fake.fail(verb, Failure(403, 'jobs.batch is forbidden: User "driver" cannot do this'))
    with pytest.raises(Unavailable, match=r"fovea cannot be \w+: .* forbidden: User") as caught:  # noqa: PT012
        jobs.create(body())
        list(jobs.follow(NAME))
    assert 'User "driver" cannot do this' in str(caught.value)


def test_changes_are_heard_of_by_a_watch_and_not_by_asking(jobs: Jobs, fake: FakeKubernetes) -> None:
    jobs.create(body())
    changes = jobs.follow(NAME)
    assert active(next(changes)) == 0
    fake.set_status(NAME, {"active": 3})
    assert active(next(changes)) == 3
    fake.set_status(NAME, {"active": 1})
    assert active(next(changes)) == 1
    assert fake.asked == ["create", "list", "watch"]


def change_while_away(fake: FakeKubernetes) -> None:
    fake.set_status(NAME, {"active": 3})
    fake.forget()


def test_a_watch_that_is_too_old_begins_with_a_new_list(jobs: Jobs, fake: FakeKubernetes) -> None:
    jobs.create(body())
    changes = jobs.follow(NAME)
    next(changes)
    change_while_away(fake)  # after the list, before the watch
    assert active(next(changes)) == 3
    assert fake.asked == ["create", "list", "watch", "list"]


@pytest.mark.parametrize("status", [0, 410, 429, 503])
def test_nothing_is_missed_when_a_watch_ends_badly(jobs: Jobs, fake: FakeKubernetes, status: int) -> None:
    jobs.create(body())
    fake.fail("watch", Failure(status))
    changes = jobs.follow(NAME)
    next(changes)
    threading.Thread(target=fake.set_status, args=(NAME, {"active": 2})).start()
    assert any(active(job) == 2 for job in changes)


def test_watches_that_break_are_no_silence_of_the_api_while_it_lists(
    jobs: Jobs, fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PATIENCE_S", 0.05)
    monkeypatch.setattr(api, "LONGEST_WAIT_S", 0.02)
    jobs.create(body())
    fake.fail("watch", *[Failure(503), Failure(0)] * 10)  # together they last longer than the patience
    for job in jobs.follow(NAME):
        if fake.asked.count("watch") == 20 and not active(job):
            fake.set_status(NAME, {"active": 2})
        if active(job):
            break
    assert fake.asked.count("watch") == 21


def test_an_api_that_ends_watches_at_once_is_not_besieged(
    jobs: Jobs, fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "FIRST_WAIT_S", 0.4)
    jobs.create(body())
    fake.fail("watch", *[Failure(200)] * 3)
    changes = jobs.follow(NAME)
    next(changes)
    begun = time.monotonic()
    for _ in range(3):
        next(changes)
    assert time.monotonic() - begun >= 3 * 0.4
    assert fake.asked == ["create", *["list", "watch"] * 3, "list"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_job_that_is_deleted_is_told(jobs: Jobs, fake: FakeKubernetes, when: str) -> None:
    jobs.create(body())
    changes = jobs.follow(NAME)
    next(changes)
    fake.delete(NAME)
    if when == "before":
        fake.forget()
    with pytest.raises(Unavailable, match="Job fovea/night-1-work is gone: someone deleted it"):
        next(changes)
