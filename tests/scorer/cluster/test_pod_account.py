"""What a driver in a pod makes of the account that is mounted there."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from kubernetes.config import incluster_config

from fovea.errors import Unavailable
from scorer.cluster import api
from scorer.cluster.api import connect
from scorer.cluster.job import job_body
from scorer.cluster.jobs import Jobs
from tests.certificates import Authority
from tests.scorer.cluster.test_job import MINIMAL
from tests.scorer.fake_kubernetes import FakeKubernetes, running
from tests.scorer.fake_kubernetes.credentials import server_context, write_mount

NAME = "night-1-work"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """An API server as a pod reaches it, with the account fovea-score."""
    authority, fake = Authority.create(), FakeKubernetes(runs_pods=False)
    token = fake.rights.token_of("fovea-score")
    mount = write_mount(tmp_path / "mount", authority.pem, fake.namespace, token)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(mount / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(mount / "ca.crt"))
    monkeypatch.setattr(api, "NAMESPACE_FILE", mount / "namespace")
    with running(fake, server_context(authority, tmp_path)):
        host, port = fake.url.removeprefix("https://").split(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        yield fake


def test_a_token_that_the_kubelet_replaces_is_used_from_then_on(
    fake: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(connect(None))
    jobs.create(job_body(MINIMAL, "s3://bucket/scores", "night-1", 3))
    fake.rights = fake.rights.rotated()
    (tmp_path / "mount" / "token").write_text(fake.rights.token_of("fovea-score"))
    let_pass(datetime.timedelta(minutes=2), monkeypatch)
    changes = jobs.follow(NAME)
    assert next(changes)["metadata"]["name"] == NAME
    fake.set_status(NAME, {"active": 3})
    assert next(changes)["status"]["active"] == 3


def test_a_pod_whose_token_is_not_mounted_is_told_so(
    fake: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mount" / "token").unlink()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(Unavailable, match=r"no pod's account \(Service token file does not exist"):
        connect(None)


def let_pass(time: datetime.timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the client, which looks at the token's file every minute."""
    later = SimpleNamespace(now=lambda: datetime.datetime.now() + time)
    monkeypatch.setattr(
        incluster_config, "datetime", SimpleNamespace(datetime=later, timedelta=datetime.timedelta)
    )
