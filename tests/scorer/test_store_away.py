"""A night whose store is away for a while, or for longer than it is waited for, with real pods."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fovea.errors import Unavailable
from fovea.settings import load
from fovea.stores.patience import wait_for_stores
from scorer.cluster.driver import drive
from scorer.config import DriveSettings
from tests.faulty_store import dropped
from tests.scorer.fake_kubernetes import FakeKubernetes, running
from tests.scorer.night import Night
from tests.scorer.runs import PATIENCE_S

NAME = "night-1-work"
METHODS = ("GET", "HEAD", "PUT")
LONG_S = 600.0


def go_away(night: Night) -> None:
    """No request gets an answer any more."""
    for method in METHODS:
        night.store.on(method, "", dropped)


def come_back_after(night: Night, requests: int) -> threading.Thread:
    """When so many of them got none."""

    def heal() -> None:
        for _ in range(requests):
            night.store.wait_for_fault()
        night.store.heal()

    thread = threading.Thread(target=heal, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """Its pods wait for the gate."""
    with running(FakeKubernetes()) as fake:
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path / "kubeconfig")))
        yield fake
    wait_for_stores(None)


def settings(night: Night, folder: Path, *, patience_s: float) -> DriveSettings:
    """Of a driver that waits long, and workers that wait so long."""
    variables = {"STORE_PATIENCE_S": str(patience_s), "PROVIDER": "cpu", "MODEL_CACHE": str(night.cache)}
    env = [{"name": f"FOVEA_SCORE_{name}", "value": value} for name, value in variables.items()]
    container = {"name": "worker", "image": "fovea-serve", "env": env}
    spec = {"backoffLimitPerIndex": 1, "template": {"spec": {"containers": [container]}}}
    template = folder / "job.yaml"
    template.write_text(yaml.safe_dump({"apiVersion": "batch/v1", "kind": "Job", "spec": spec}))
    places = ["--models", f"{night.bucket.uri}/models/tiny", "--output", night.output]
    run = ["--job-template", str(template), "--run-id", "night-1", "--model-cache", str(night.cache)]
    wait_for_stores(LONG_S)
    return load(DriveSettings, [f"{night.bucket.uri}/images", *places, *run, "--provider", "cpu"], "drive")


@pytest.mark.slow
def test_a_store_that_is_away_for_a_while_costs_no_night(
    night: Night, fake: FakeKubernetes, tmp_path: Path
) -> None:
    """Before the plan, when the worker starts, and before the commit."""
    go_away(night)
    back = come_back_after(night, 8)

    def away_again() -> None:
        assert fake.watched.acquire(timeout=PATIENCE_S)
        back.join()
        go_away(night)
        fake.gate.set()
        come_back_after(night, 8).join()

    threading.Thread(target=away_again, daemon=True).start()
    drive(settings(night, tmp_path, patience_s=LONG_S))
    assert sum(len(fake.kubelet.of_index(index)) for index in range(4)) == 1, "a pod ended"
    assert "the store is away; trying again" in "".join(fake.logs)
    assert {row["status"] for row in night.rows()} == {"ok"}
    assert len(night.rows()) == 12


@pytest.mark.slow
def test_a_store_that_stays_away_ends_the_driver_with_69(
    night: Night, fake: FakeKubernetes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def away_while_pods_run() -> None:
        assert fake.watched.acquire(timeout=PATIENCE_S)
        go_away(night)
        fake.gate.set()
        while not (fake.jobs[NAME].get("status") or {}).get("failedIndexes"):
            night.store.wait_for_fault()
        night.store.heal()

    threading.Thread(target=away_while_pods_run, daemon=True).start()
    with pytest.raises(Unavailable, match=r"its indexes 0, whose pods ended with 69 \(FailedIndexes"):
        drive(settings(night, tmp_path, patience_s=0.5))
    assert len(fake.kubelet.of_index(0)) == 2


def test_sigterm_is_heard_while_a_store_is_waited_for(night: Night) -> None:
    go_away(night)
    with night.started_work("--store-patience-s", str(LONG_S)) as process:
        for _ in range(6):  # one more than a call's own tries
            night.store.wait_for_fault()
        started = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143, stderr
    assert time.monotonic() - started < 5
    assert "the store is away; trying again" in stderr
