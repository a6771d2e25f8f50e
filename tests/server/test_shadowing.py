"""A real server whose shadow is slow, dead or of another mind, under calls."""

import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from fovea.capture.reading import read_captures
from fovea.model.versions import publish
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.servers import PATIENCE_S, ServerProcess, running_server

SHADOW = ("--model-version", "1", "--shadow", "2", "--shadow-percent", "50")
"""Of two cores one process, so that it can be stopped."""
CALLERS, CALLS = 4, 200
IMAGE = tiny.picture("red")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Of two versions: the second has the names of two classes the other way round."""
    folder = tmp_path / "models"
    publish(tiny.stage_bundle(tmp_path / "1"), str(folder))
    publish(tiny.stage_bundle(tmp_path / "2", labels=("green", "red", "blue")), str(folder))
    return folder


def call(server: ServerProcess) -> list[str]:
    """Labels that as many callers get; raises what a call failed with."""

    def ask(_: int) -> list[str]:
        with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            classify = ClassifierStub(channel).Classify
            requests = (pb.ClassifyRequest(image=IMAGE) for _ in range(CALLS // CALLERS))
            return [classify(each, timeout=PATIENCE_S).predictions[0].label for each in requests]

    with ThreadPoolExecutor(CALLERS) as pool:
        return [label for labels in pool.map(ask, range(CALLERS)) for label in labels]


def became(server: ServerProcess) -> dict[str, float]:
    """Of the images that were drawn, by outcome."""
    with urllib.request.urlopen(server.metrics_url) as page:
        series = re.findall(r'^fovea_shadow_total{outcome="(\w+)"} (\S+)', page.read().decode(), re.MULTILINE)
    return {outcome: float(count) for outcome, count in series}


def spare_process(server: ServerProcess) -> int:
    (found,) = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if f"\nPPid:\t{server.process.pid}\n" in read(folder / "status")
        and read(folder / "comm") == "fovea-spare\n"
    ]
    return found


def read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # it has ended
        return ""


def until(is_true: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("fronts", ["1", "2"])
def test_no_call_waits_for_a_shadow_that_hangs_or_fails_with_one_that_dies(
    models: Path, tmp_path: Path, fronts: str
) -> None:
    captures = tmp_path / "captures"
    flags = ("--threads", "2", "--fronts", fronts, "--capture", str(captures), "--capture-share", "0")
    with running_server(models, *SHADOW, *flags, "--capture-margin", "0") as server:
        server.wait_for("a second version is live beside the current one")
        assert set(call(server)) == {"red"}
        until(lambda: became(server)["disagree"] >= 1)

        os.kill(spare := spare_process(server), signal.SIGSTOP)
        before = became(server)
        assert call(server) == ["red"] * CALLS, "each is answered while the shadow computes for ever"
        after = became(server)
        assert after["disagree"] <= before["disagree"] + 1
        assert after["dropped"] >= before["dropped"] + CALLS / 4, "few wait for it"

        os.kill(spare, signal.SIGKILL)
        assert call(server) == ["red"] * CALLS
        until(lambda: became(server)["failed"] >= 1 or became(server)["disagree"] > after["disagree"])
        until(lambda: bool(call(server)) and became(server)["disagree"] > after["disagree"])
        server.send(signal.SIGTERM)
        assert server.exit_code() == 0
    rows = list(read_captures(str(captures)))
    assert {(row.reason, row.label, row.shadow_label, row.shadow_version) for row in rows} == {
        ("disagreement", "red", "green", 2)
    }
    assert {row.image for row in rows} == {IMAGE}


@pytest.mark.slow
def test_what_waits_for_a_shadow_at_the_end_is_captured_without_its_answer(
    models: Path, tmp_path: Path
) -> None:
    captures = tmp_path / "captures"
    all_of_them = ("--shadow-percent", "100", "--capture", str(captures), "--capture-share", "1")
    with running_server(models, *SHADOW[:-2], *all_of_them) as server:
        server.wait_for("a second version is live beside the current one")
        os.kill(spare_process(server), signal.SIGSTOP)
        with grpc.insecure_channel(server.target) as channel:
            for _ in range(3):
                ClassifierStub(channel).Classify(pb.ClassifyRequest(image=IMAGE), timeout=PATIENCE_S)
        server.send(signal.SIGTERM)
        assert server.exit_code() == 0
    rows = list(read_captures(str(captures)))
    assert [(row.reason, row.shadow_label) for row in rows] == [("uniform", None)] * 3
