"""Calls without a pause, in every way, while a canary starts, grows, dies, is taken out, and is promoted."""

import itertools
import os
import random
import signal
import statistics
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from fovea.model.promotions import move, promotion_of
from fovea.model.rollouts import Rollout, begin, held
from fovea.model.versions import look, publish
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.sticky import STICKY_KEY
from fovea.stores.storage import open_folder
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.rollout.split import Split
from tests import tiny
from tests.server.http.rest_calls import Rest
from tests.server.oip_calls import crops_of, of_images, of_pixels
from tests.servers import ServerProcess, compute_processes, running_server

HOLD_S = 1.5
"""Each state lasts so long."""
IMAGE = tiny.picture("red", (64, 48))
GOOD, OTHER = 2, 3
"""The versions that are tried beside 1: 3 takes green for red."""
KEYS = 200

Ask = Callable[[str], int]
"""Makes a call with this sticky key, or where it is empty none; gives the version that answered."""


@dataclass
class Answered:
    sent: float
    ended: float
    key: str
    version: int


@dataclass
class Load:
    """Callers that ask again as soon as they are answered."""

    server: ServerProcess
    stop: threading.Event = field(default_factory=threading.Event)
    answered: list[Answered] = field(default_factory=list)

    def ask_on(self, way: "Callable[[ServerProcess], Iterator[Ask]]", number: int) -> None:
        with contextmanager(way)(self.server) as ask:
            for each in itertools.count(number * 1000):
                if self.stop.is_set():
                    return
                key, sent = f"caller-{each % KEYS}" if each % 2 else "", time.monotonic()
                version = ask(key)
                self.answered.append(Answered(sent, time.monotonic(), key, version))


def classify(server: ServerProcess) -> Iterator[Ask]:
    with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = ClassifierStub(channel)
        yield (
            lambda key: (
                stub.Classify(
                    pb.ClassifyRequest(image=IMAGE), timeout=30, metadata=_metadata(key)
                ).model.version
            )
        )


def classify_batch(server: ServerProcess) -> Iterator[Ask]:
    with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = ClassifierStub(channel)

        def ask(key: str) -> int:
            request = pb.ClassifyBatchRequest(images=[IMAGE] * 3)
            answer = stub.ClassifyBatch(request, timeout=30, metadata=_metadata(key))
            assert {result.response.model.version for result in answer.results} == {answer.model.version}
            return answer.model.version

        yield ask


def classify_stream(server: ServerProcess) -> Iterator[Ask]:
    with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = ClassifierStub(channel)

        def ask(key: str) -> int:
            requests = [pb.ClassifyRequest(image=IMAGE, request_id=key) for _ in range(2)]
            answers = list(stub.ClassifyStream(iter(requests), timeout=30))
            versions = [answer.response.model.version for answer in answers]
            return random.choice(versions)  # they differ where the canary's share did between them

        yield ask


def infer(server: ServerProcess) -> Iterator[Ask]:
    with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = GRPCInferenceServiceStub(channel)
        yield lambda key: int(
            stub.ModelInfer(of_images([IMAGE]), timeout=30, metadata=_metadata(key)).model_version
        )


def over_http(server: ServerProcess) -> Iterator[Ask]:
    rest = Rest(server)
    yield lambda key: int(_ok(rest.post("/v1/classify", IMAGE, **_headers(key)))["model"]["version"])


def infer_over_http(server: ServerProcess) -> Iterator[Ask]:
    rest, request = Rest(server), of_images([IMAGE])
    yield lambda key: int(_ok(rest.infer(request))["model_version"]) if not key else _inferred(rest, key)


WAYS = (classify, classify_batch, classify_stream, infer, over_http, infer_over_http)


@pytest.mark.slow
@pytest.mark.parametrize("fronts", ["1", "2"])
def test_no_call_fails_while_a_canary_comes_grows_dies_is_taken_out_and_promoted(
    tmp_path: Path, fronts: str
) -> None:
    models = tmp_path / "tiny"
    publish(tiny.stage_bundle(tmp_path / "first"), str(models))
    publish(tiny.stage_bundle(tmp_path / "good", gain=9), str(models), promotes=False)
    publish(tiny.stage_bundle(tmp_path / "other", gain=-8), str(models), promotes=False)
    # The machine is busy: a version that is started again may well be slow for a while.
    flags = ("--watch-interval-s", "0.2", "--threads", "1", "--canary-max-slowdown", "50", "--fronts", fronts)
    with running_server(models, *flags, python=sys.executable) as server, loaded(server) as load:
        time.sleep(HOLD_S)
        first = compute_processes(server.process.pid)
        try_out(models, server, GOOD, 20)
        few = hold()
        try_out(models, server, GOOD, 60)
        more = hold()
        check_that_versions_are_told_and_crops_stay(server)
        (canarys,) = set(compute_processes(server.process.pid)) - set(first)
        os.kill(canarys, signal.SIGKILL)
        time.sleep(HOLD_S)
        assert first == [pid for pid in compute_processes(server.process.pid) if pid in first]
        try_out(models, server, OTHER, 50)
        out = server.wait_for("the canary is taken out: it is worse than the current version")
        after_guard = hold()
        try_out(models, server, GOOD, 50)
        promote(models, GOOD)
        server.wait_for("new version is live")
        promoted = hold()
        metrics = scraped(server)
    assert (out["version"], out["reason"]) == (OTHER, "answers")
    assert {each.version for each in load.answered} == {1, GOOD, OTHER}
    for state, percent in ((few, 20), (more, 60)):
        split = Split("tiny", GOOD, percent)
        for each in within(load, state):
            if each.key:
                assert each.version == (GOOD if split.takes(each.key) else 1)
        drawn = [each.version == GOOD for each in within(load, state) if not each.key]
        assert abs(statistics.fmean(drawn) - percent / 100) < 0.2
    assert {each.version for each in within(load, after_guard)} == {1}
    assert {each.version for each in within(load, promoted)} == {GOOD}
    assert metrics['fovea_canary_removed_total{reason="answers"}'] == 1
    assert metrics["fovea_canary_percent"] == 0
    report(load)


def check_that_versions_are_told_and_crops_stay(server: ServerProcess) -> None:
    """With the version that prepared them, whoever calls."""
    crops = of_pixels(crops_of([IMAGE]))
    with grpc.insecure_channel(server.target) as channel:
        inference = GRPCInferenceServiceStub(channel)
        for number in range(20):
            answer = inference.ModelInfer(crops, metadata=_metadata(f"caller-{number}"))
            assert answer.model_version == "1"
        described = ClassifierStub(channel).GetModel(pb.GetModelRequest())
        assert (described.model.version, list(described.loaded_versions)) == (1, [1, GOOD])
        asked = pb.ClassifyRequest(image=IMAGE, model_version=GOOD)
        assert ClassifierStub(channel).Classify(asked).model.version == GOOD


@contextmanager
def loaded(server: ServerProcess) -> Iterator[Load]:
    """Whatever a call fails with is raised."""
    load = Load(server)
    with ThreadPoolExecutor(len(WAYS)) as pool:
        asking: list[Future[None]] = [
            pool.submit(load.ask_on, way, number) for number, way in enumerate(WAYS)
        ]
        try:
            yield load
        finally:
            load.stop.set()
        for each in asking:
            each.result()


def hold() -> tuple[float, float]:
    """A state lasts; gives when. Fronts hear of it a moment after the log's line."""
    time.sleep(0.3)
    began = time.monotonic()
    time.sleep(HOLD_S)
    return began, time.monotonic()


def within(load: Load, state: tuple[float, float]) -> list[Answered]:
    return [each for each in load.answered if state[0] <= each.sent and each.ended <= state[1]]


def try_out(models: Path, server: ServerProcess, version: int, percent: float) -> None:
    folder = open_folder(str(models))
    latest = look(folder).standing.number
    facts = {"version": version, "percent": percent, "latest": latest}
    begin(folder, held(folder), Rollout(**facts, who="ann", why="", created=datetime.now(UTC)))
    said: dict[str, Any] = {}
    while (said.get("version"), said.get("percent")) != (version, percent):
        said = server.wait_for("the canary answers its share of the calls")


def promote(models: Path, version: int) -> None:
    folder = open_folder(str(models))
    seen = look(folder)
    move(folder, seen.standing, promotion_of(version, seen.order, "promote", "it is good"))


def scraped(server: ServerProcess) -> dict[str, float]:
    with urllib.request.urlopen(server.metrics_url) as page:
        lines = [line.decode().rsplit(None, 1) for line in page if not line.startswith(b"#")]
    return {name: float(value) for name, value in lines}


def report(load: Load) -> None:
    seconds = sorted(each.ended - each.sent for each in load.answered)
    versions = dict(sorted(Counter(each.version for each in load.answered).items()))
    p50, p99 = (1000 * seconds[len(seconds) * part // 100] for part in (50, 99))
    print(
        f"\n{len(seconds)} calls by {len(WAYS)} callers, none failed; by version {versions}; "
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {1000 * seconds[-1]:.0f} ms"
    )


def _metadata(key: str) -> tuple[tuple[str, str], ...]:
    return ((STICKY_KEY, key),) if key else ()


def _headers(key: str) -> dict[str, str]:
    return {STICKY_KEY.replace("-", "_"): key} if key else {}


def _ok(answer: Any) -> Any:
    assert answer.status == 200, answer.body
    return answer.json


def _inferred(rest: Rest, key: str) -> int:
    """By its own id, which is in the body."""
    request = of_images([IMAGE])
    request.id = key
    return int(_ok(rest.infer(request))["model_version"])
