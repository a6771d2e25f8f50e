"""New versions in whole servers: signals, calls in flight, metrics."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from fovea.model.bundle import ModelBundle
from fovea.model.versions import publish
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.server import spoiled
from tests.servers import FREE_PORTS, ServerProcess, held_up, run_server, running_server

PATIENCE_S = 30
ONLY_AT_SIGHUP = ("--watch-interval-s", "0")


class Release:
    """A served models folder, and the versions that are published to it."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models" / "tiny"
        self._folder = folder
        self._count = 0

    def stage(self) -> ModelBundle:
        self._count += 1
        return tiny.stage_bundle(self._folder / f"staged-{self._count}", gain=1.0 + self._count)

    def publish(self) -> ModelBundle:
        return publish(self.stage(), str(self.models))


@pytest.fixture
def release(tmp_path: Path) -> Release:
    release = Release(tmp_path)
    release.publish()
    return release


@pytest.fixture
def server(release: Release) -> Iterator[ServerProcess]:
    with running_server(release.models, *ONLY_AT_SIGHUP) as running:
        yield running


def test_sighup_puts_a_new_version_into_service(release: Release, server: ServerProcess) -> None:
    with grpc.insecure_channel(server.target) as channel:
        stub = ClassifierStub(channel)
        before = classify(stub)
        second = release.publish()
        server.send(signal.SIGHUP)
        server.wait_for("replaced version is closed")
        after = classify(stub)
        assert [answer.model.version for answer in (before, after)] == [1, 2]
        assert after.model.digest == second.digest
        assert after.predictions[0].probability > before.predictions[0].probability
        assert list(stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE_S).loaded_versions) == [2]
        with pytest.raises(grpc.RpcError, match=r"version 1 is not loaded \(loaded: 2\)"):
            classify(stub, model_version=1)
    page = metrics(server)
    assert re.findall(r'^fovea_model_info\{.*version="(\d+)".*\}', page, re.MULTILINE) == ["2"]
    assert 'fovea_reloads_total{outcome="swapped"} 1.0' in page
    assert "fovea_queued_images 0.0" in page
    assert re.search(r"^fovea_model_loaded_timestamp_seconds 1\.\d+e\+09$", page, re.MULTILINE)


def test_calls_in_flight_at_a_swap_are_answered_by_the_version_that_they_began_with(
    release: Release, server: ServerProcess
) -> None:
    with grpc.insecure_channel(server.target) as channel:
        stub = ClassifierStub(channel)
        with held_up(server):
            images = [tiny.picture("red")] * 8
            batch = stub.ClassifyBatch.future(pb.ClassifyBatchRequest(images=images), timeout=PATIENCE_S)
            while "fovea_inflight_images 8.0" not in metrics(server):
                pass
            release.publish()
            server.send(signal.SIGHUP)
            server.wait_for("new version is live")
            assert classify(stub).model.version == 2
        answered = batch.result()
        assert answered.model.version == 1
        assert {result.response.model.version for result in answered.results} == {1}
        server.wait_for("replaced version is closed")


def test_sighup_during_a_load_is_followed_by_another_look(release: Release, server: ServerProcess) -> None:
    report = stall_next_load(release)
    server.send(signal.SIGHUP)
    with report.open("wb") as waited_for:  # returns when the server reads it
        release.publish()
        server.send(signal.SIGHUP)
        waited_for.write(b"<!doctype html><title>tiny</title>")
    assert server.wait_for("new version is live")["version"] == 2
    assert server.wait_for("new version is live")["version"] == 3


def test_sighup_tries_a_refused_version_again(release: Release, server: ServerProcess) -> None:
    publish(spoiled.change_the_golden_answers(release.stage()), str(release.models))
    for _ in range(2):
        server.send(signal.SIGHUP)
        assert server.wait_for("version is refused")["version"] == 2


def test_sigterm_during_a_load_drains_and_exits_0(release: Release, server: ServerProcess) -> None:
    report = stall_next_load(release)
    server.send(signal.SIGHUP)
    with report.open("wb"):
        server.send(signal.SIGTERM)
        assert server.exit_code() == 0


def test_folder_is_watched_without_a_signal(release: Release) -> None:
    with running_server(release.models, "--watch-interval-s", "0.1") as server:
        release.publish()
        assert server.wait_for("new version is live")["version"] == 2


def test_bad_version_is_told_of_and_does_not_stop_a_start(release: Release) -> None:
    publish(spoiled.change_the_golden_answers(release.stage()), str(release.models))
    with running_server(release.models) as server:
        assert server.ready["version"] == 1
        assert 'fovea_reloads_total{outcome="refused"} 1.0' in metrics(server)
    (warning,) = [line for line in server.stderr if "version is refused" in line]
    assert "golden check failed" in warning


def test_start_without_a_good_version_is_one_line_and_65(tmp_path: Path) -> None:
    release = Release(tmp_path)
    for spoil in (spoiled.corrupt_the_model, spoiled.take_other_crops):
        publish(spoil(release.stage()), str(release.models))
    free_ports = ("--host", "127.0.0.1", *FREE_PORTS)
    ended = run_server("--models", str(release.models), *free_ports)
    assert ended.returncode == 65
    (line,) = ended.stderr.splitlines()
    assert "INVALID_ARGUMENT" in line


def stall_next_load(release: Release) -> Path:
    """Publishes a version whose report is a pipe, so that its load waits until somebody writes there."""
    report = release.publish().path / "report.html"
    report.unlink()
    os.mkfifo(report)
    return report


def classify(stub: ClassifierStub, model_version: int = 0) -> pb.ClassifyResponse:
    request = pb.ClassifyRequest(image=tiny.picture((130, 90, 90)), model_version=model_version)
    return stub.Classify(request, timeout=PATIENCE_S)


def metrics(server: ServerProcess) -> str:
    with urllib.request.urlopen(server.metrics_url, timeout=PATIENCE_S) as page:
        return str(page.read().decode())


@pytest.mark.slow
def test_server_obeys_a_rollback_and_a_promotion(release: Release, server: ServerProcess) -> None:
    with grpc.insecure_channel(server.target) as channel:
        stub = ClassifierStub(channel)
        release.publish()
        moves = (("rollback", release.models, 1), ("promote", release.models / "2", 2))
        server.send(signal.SIGHUP)
        server.wait_for("replaced version is closed")
        for command, folder, version in moves:
            words = [
                sys.executable,
                "-m",
                "trainer",
                command,
                str(folder),
                "--why",
                "a test",
                "--threads",
                "1",
            ]
            said = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
            assert f"latest is version {version}" in said.stdout
            server.send(signal.SIGHUP)
            server.wait_for("replaced version is closed")
            assert classify(stub).model.version == version
