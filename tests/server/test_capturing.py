"""What real servers capture of real calls, and what they lose of it."""

import signal
import socket
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from fovea.capture.reading import read_captures
from fovea.capture.rows import Captured
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.buckets import Bucket
from tests.server.http.calls import post
from tests.servers import PATIENCE_S, ServerProcess, running_server, started_server

ALL = ("--capture-share", "1")
EVERY_SECOND = ("--capture-seconds", "1", "--capture-per-hour", "36000")
RED, BLUE, GREEN = (tiny.picture(colour) for colour in ("red", "blue", "green"))


def captured(uri: str | Path) -> list[Captured]:
    return list(read_captures(str(uri)))


def counted(server: ServerProcess, name: str) -> float:
    """The sum of a metric's series."""
    with urllib.request.urlopen(server.metrics_url) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))


def classify(server: ServerProcess, *images: bytes) -> list[str]:
    with grpc.insecure_channel(server.target) as channel:
        call = ClassifierStub(channel).Classify
        answers = [call(pb.ClassifyRequest(image=image), timeout=PATIENCE_S) for image in images]
    return [answer.predictions[0].label for answer in answers]


def test_sigterm_writes_what_was_answered_over_grpc_and_http(tiny_models: Path, tmp_path: Path) -> None:
    with running_server(tiny_models, "--capture", str(tmp_path), *ALL) as server:
        labels = classify(server, RED)
        assert post(server, "/v1/classify", BLUE).status == 200
        with grpc.insecure_channel(server.target) as channel:
            ClassifierStub(channel).ClassifyBatch(pb.ClassifyBatchRequest(images=[GREEN, b"none", RED]))
        server.send(signal.SIGTERM)
        assert server.exit_code() == 0
    rows = captured(tmp_path)
    images = sorted(bytes(row.image or b"") for row in rows)
    assert images == sorted([RED, BLUE, GREEN, RED]), "and no failed image"
    assert {row.reason for row in rows} == {"uniform"}
    assert [row.label for row in rows if row.image == RED] == labels * 2


@pytest.mark.slow
def test_what_was_counted_as_captured_is_in_the_bucket_after_sigterm(
    tiny_models: Path, bucket: Bucket
) -> None:
    uri = f"{bucket.uri}/captures"
    with running_server(tiny_models, "--fronts", "2", "--capture", uri, *ALL, *EVERY_SECOND) as server:
        classify(server, RED, BLUE)
        until(lambda: counted(server, "fovea_captured_total") == 2)
        assert len(captured(uri)) == 2
        classify(server, GREEN)
        server.send(signal.SIGTERM)
        assert server.exit_code() == 0
    assert [row.image for row in captured(uri)] == [RED, BLUE, GREEN]


@pytest.mark.slow
def test_one_model_is_captured_while_another_is_waited_for(tiny_models: Path, tmp_path: Path) -> None:
    captures = str(tmp_path / "captures")
    flags = ("--models", str(tmp_path / "absent"), "--wait-for-model", "--capture", captures, *ALL)
    with started_server(tiny_models, *flags) as server:
        target = f"127.0.0.1:{server.wait_for('waiting for a version to be published')['port']}"
        request = pb.ClassifyRequest(model=tiny_models.name, image=RED)

        def is_answered() -> bool:
            with grpc.insecure_channel(target) as channel, suppress(grpc.RpcError):
                return bool(ClassifierStub(channel).Classify(request, timeout=PATIENCE_S))
            return False

        until(is_answered)
        server.send(signal.SIGTERM)
        server.exit_code()
    assert [row.image for row in captured(captures)] == [RED]


@pytest.mark.slow
def test_sigkill_loses_the_open_window_and_no_other(tiny_models: Path, tmp_path: Path) -> None:
    with running_server(tiny_models, "--capture", str(tmp_path), *ALL, "--capture-seconds", "3600") as server:
        classify(server, RED)
        server.send(signal.SIGKILL)
        server.exit_code()
    assert captured(tmp_path) == []
    with running_server(tiny_models, "--capture", str(tmp_path), *ALL, *EVERY_SECOND) as server:
        classify(server, RED)
        until(lambda: counted(server, "fovea_captured_total") == 1)
        for _ in range(50):
            classify(server, BLUE)
        counts = counted(server, "fovea_captured_total")
        server.send(signal.SIGKILL)
        server.exit_code()
    rows = captured(tmp_path)
    assert rows[0].image == RED
    assert counts <= len(rows) <= 51


@pytest.mark.slow
@pytest.mark.parametrize("where", ["a closed port", "a folder that cannot be written"])
def test_a_store_that_is_absent_or_full_harms_no_call(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        (tmp_path / "file").write_text("in the way")
        is_bucket = "port" in where
        uri = "s3://gone" if is_bucket else str(tmp_path / "file" / "captures")
        with running_server(tiny_models, "--grace-s", "1", "--capture", uri, *ALL, *EVERY_SECOND) as server:
            for _ in range(100):
                assert classify(server, RED) == ["red"]
            if not is_bucket:  # one is tried for 45 s
                until(lambda: counted(server, "fovea_captures_lost_total") > 0)
            assert counted(server, "fovea_captured_total") == 0
            began = time.monotonic()
            server.send(signal.SIGTERM)
            assert server.exit_code() == 0
            assert time.monotonic() - began < 15
        told = "the last captures were not written in time" if is_bucket else "captures cannot be written"
        assert sum(told in line for line in server.stderr) == 1


def until(is_true: object) -> None:
    assert callable(is_true)
    ends = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < ends
        time.sleep(0.05)
