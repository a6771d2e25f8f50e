"""Several models in one server, by all ways to call it."""

import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from fovea.client import CallFailed, Client
from fovea.model.versions import publish
from fovea.oip import open_inference_pb2 as oip
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.rpc import health_stub
from tests.server import spoiled
from tests.servers import PATIENCE_S, ServerProcess, compute_processes, held_up, run_server, running_server

RED = tiny.picture("red")
NAMES = ("cats", "dogs", "pets")


@pytest.fixture(scope="module", name="root")
def folder_of_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of them is surer than the one before."""
    root = tmp_path_factory.mktemp("several")
    for gain, name in enumerate(NAMES, 2):
        publish(tiny.stage_bundle(root / "staged" / name, gain=gain), str(root / "models" / name))
    return root / "models"


@pytest.fixture(scope="module", name="server")
def server_of_all(root: Path) -> Iterator[ServerProcess]:
    flags = ("--threads", "2", "--default-model", "dogs")
    with running_server(",".join(str(root / name) for name in NAMES), *flags) as running:
        yield running


def over_http(server: ServerProcess, path: str, body: bytes | None = None) -> tuple[int, Any]:
    url = f"http://{server.http_target}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_each_way_asks_for_a_model_by_name_and_gets_its_answer(server: ServerProcess) -> None:
    def by_grpc(client: Client, name: str) -> float:
        answer = client.classify(RED, model=name)
        assert answer.model.name == (name or "dogs")
        return answer.predictions[0].probability

    def by_http(name: str) -> float:
        _, answer = over_http(server, f"/v1/classify?model={name}", RED)
        return float(answer["predictions"][0]["probability"])

    def by_torchserve(name: str) -> float:
        _, answer = over_http(server, f"/predictions/{name}", RED)
        return float(answer["red"])

    def by_oip(stub: GRPCInferenceServiceStub, name: str) -> float:
        entry = oip.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
        entry.contents.bytes_contents.append(RED)
        answer = stub.ModelInfer(oip.ModelInferRequest(model_name=name, inputs=[entry]), timeout=PATIENCE_S)
        return float(np.frombuffer(answer.raw_output_contents[0], np.float32)[0])

    with Client(server.target) as client, grpc.insecure_channel(server.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        seen = {
            name: {by_grpc(client, name), by_http(name), by_torchserve(name), by_oip(stub, name)}
            for name in NAMES
        }
        assert all(len(answers) == 1 for answers in seen.values()), seen
        assert len(set.union(*seen.values())) == len(NAMES)
        assert {by_grpc(client, ""), by_http("")} == seen["dogs"], "the default one"
        assert sorted(client.get_model(model="cats").models) == [*NAMES]


def test_a_name_that_there_is_not_is_not_found_by_any_way(server: ServerProcess) -> None:
    with (
        Client(server.target) as client,
        pytest.raises(CallFailed, match=r"no model 'zebra'.*'cats', 'dogs'") as no,
    ):
        client.classify(RED, model="zebra")
    assert no.value.code is grpc.StatusCode.NOT_FOUND
    for path, body in (
        ("/v1/classify?model=zebra", RED),
        ("/v1/model?model=zebra", None),
        ("/v2/models/zebra", None),
        ("/v2/models/_onnx", None),
        ("/predictions/zebra", RED),
        ("/v1/crop?model=zebra", RED),
    ):
        assert over_http(server, path, body)[0] == 404, path


def test_models_are_listed_for_who_knows_no_name(server: ServerProcess) -> None:
    counted = 'fovea_requests_total{code="OK",method="HTTP GetModel"}'
    before = metrics(server)[counted]
    listed = [{"name": name, "version": 1} for name in ("dogs", "cats", "pets")]
    assert over_http(server, "/v1/models") == (200, {"models": listed}), "the default one is first"
    assert metrics(server)[counted] == before + 1
    status, refused = over_http(server, "/v1/models?model=cats")
    assert (status, refused["detail"]) == (400, "there is no option 'model'; this call has none")


def test_each_model_has_its_readiness_its_index_and_its_series(server: ServerProcess) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.ready['health_port']}") as channel:
        health = health_stub(channel)
        for name in NAMES:
            asked = health_pb2.HealthCheckRequest(service=f"models/{name}")
            assert health.Check(asked, timeout=PATIENCE_S).status == health_pb2.HealthCheckResponse.SERVING
    assert over_http(server, "/v2/models/cats_onnx/ready") == (200, {"name": "cats_onnx", "ready": True})
    _, index = over_http(server, "/v2/repository/index", b"")
    assert {each["name"] for each in index} == {f"{name}{more}" for name in NAMES for more in ("", "_onnx")}
    _, statistics = over_http(server, "/v2/models/stats")
    assert len(statistics["model_stats"]) == 2 * len(NAMES)
    before = {
        name: metrics(server)[f'fovea_predictions_total{{label="red",model="{name}"}}'] for name in NAMES
    }
    over_http(server, "/v1/classify?model=pets", RED)
    after = {
        name: metrics(server)[f'fovea_predictions_total{{label="red",model="{name}"}}'] for name in NAMES
    }
    assert after == before | {"pets": before["pets"] + 1}


def test_a_compute_process_that_dies_is_replaced_with_all_its_models(server: ServerProcess) -> None:
    before = set(compute_processes(server.process.pid))
    assert len(before) == 2, "as many as there are cores, however many models"
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(set(compute_processes(server.process.pid)) - before) == 2)
    with Client(server.target, timeout_s=PATIENCE_S) as client:
        until(lambda: all(answers(client, name) for name in NAMES))


@pytest.mark.slow  # it is tried again after pauses of seconds
def test_a_model_whose_files_are_broken_when_its_process_dies_is_not_ready_until_they_are_whole(
    root: Path, tmp_path: Path
) -> None:
    for name in ("cats", "dogs"):
        shutil.copytree(root / name, tmp_path / name)
    named = ",".join(str(tmp_path / name) for name in ("cats", "dogs"))
    bundle = tmp_path / "cats" / "1" / "bundle.json"
    whole = bundle.read_bytes()
    with (
        running_server(named, "--fronts", "2") as server,
        Client(server.target, timeout_s=PATIENCE_S) as client,
    ):
        assert readiness(server, "cats") == READY
        bundle.write_bytes(b"broken")
        (computing,) = compute_processes(server.process.pid)
        os.kill(computing, signal.SIGKILL)
        not_all = READY | {"": NOT_SERVING, "/ping": 500}
        until(lambda: readiness(server, "dogs") == not_all)
        assert readiness(server, "cats") == not_all | LOST
        assert answers(client, "dogs")
        status, refused = over_http(server, "/v1/classify?model=cats", RED)
        assert (status, refused["detail"]) == (
            503,
            "the model cannot be loaded now: the server's log says why",
        )
        with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as no:
            ClassifierStub(channel).Classify(pb.ClassifyRequest(image=RED, model="cats"), timeout=PATIENCE_S)
        assert no.value.code() is grpc.StatusCode.UNAVAILABLE
        bundle.write_bytes(whole)
        until(lambda: readiness(server, "cats") == READY)
        assert answers(client, "cats")


def test_below_a_root_models_come_and_go_while_others_answer(root: Path, tmp_path: Path) -> None:
    models, work = tmp_path / "models", tmp_path / "work"
    shutil.copytree(root / "cats", models / "cats")
    (models / "no model").mkdir()
    publish(spoiled.change_a_byte(tiny.stage_bundle(work / "bad", gain=9)), str(models / "bad"))
    flags = ("--model-root", str(models), "--watch-interval-s", "0.1")
    with running_server("", *flags) as server, Client(server.target, timeout_s=PATIENCE_S) as client:
        assert server.ready["models"] == "cats/1"
        assert answers(client, "cats")
        assert not answers(client, "bad")
        assert listed(server) == ["cats"], "what can be asked for"
        assert not answers(client, ""), "there is another, though nothing of it is served yet"
        shutil.copytree(root / "dogs", work / "dogs")
        (work / "dogs").rename(models / "dogs")
        until(lambda: answers(client, "dogs"))
        assert listed(server) == ["cats", "dogs"]
        publish(tiny.stage_bundle(work / "surer", gain=7), str(models / "cats"))
        until(lambda: client.classify(RED, model="cats").model.version == 2)
        shutil.rmtree(models / "dogs")
        until(lambda: not answers(client, "dogs"))
        until(lambda: 'fovea_abstained_total{model="dogs"}' not in metrics(server))
        assert answers(client, "cats")
        shutil.rmtree(models)
        server.wait_for("cannot look for models")
        assert answers(client, "cats"), "a root that is unmounted takes nobody's model away"


def test_fronts_know_the_models_that_come_and_go(root: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name in ("cats", "dogs"):
        shutil.copytree(root / name, models / name)
    publish(spoiled.change_a_byte(tiny.stage_bundle(tmp_path / "spoiled", gain=9)), str(models / "bad"))
    flags = ("--model-root", str(models), "--watch-interval-s", "0.1", "--fronts", "2")
    with running_server("", *flags) as server, Client(server.target, timeout_s=PATIENCE_S) as client:
        assert client.classify(RED, model="cats").model.name == "cats"
        with pytest.raises(CallFailed, match="no model is ready yet"):
            client.classify(RED, model="bad")
        _, index = over_http(server, "/v2/repository/index", b"")
        assert {each["name"]: each["state"] for each in index}["bad"] == "UNAVAILABLE"
        shutil.copytree(root / "pets", tmp_path / "pets")
        (tmp_path / "pets").rename(models / "pets")
        until(lambda: answers(client, "pets"))
        shutil.rmtree(models / "dogs")
        until(lambda: not answers(client, "dogs"))
        assert over_http(server, "/v2/models/pets/ready")[0] == 200


def test_a_flood_of_calls_to_one_model_leaves_room_for_the_others(root: Path) -> None:
    named = ",".join(str(root / name) for name in NAMES)
    four = pb.ClassifyBatchRequest(images=[RED] * 4, model="cats", priority=pb.PRIORITY_INTERACTIVE)
    with (
        running_server(named, "--queue-capacity", "8", "--max-images-per-call", "4") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = ClassifierStub(channel)
        with held_up(server):
            first = stub.ClassifyBatch.future(four, timeout=PATIENCE_S)
            until(lambda: metrics(server)["fovea_inflight_images"] == 4)
            with pytest.raises(grpc.RpcError, match=r"of model cats .* kept for others"):
                stub.ClassifyBatch(four, timeout=PATIENCE_S)
            other = stub.Classify.future(pb.ClassifyRequest(image=RED, model="dogs"), timeout=PATIENCE_S)
            until(lambda: metrics(server)["fovea_inflight_images"] == 5)
        assert len(first.result().results) == 4
        assert other.result().model.name == "dogs"


def test_what_cannot_be_is_said_in_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    cats, dogs = str(root / "cats"), str(root / "dogs")
    shutil.copytree(root / "dogs", tmp_path / "cats")
    for flags, code, said in (
        ((), 2, "--models (or FOVEA_SERVE_MODELS) is missing"),
        (("--models", cats, "--model-root", str(root)), 2, "--models and --model-root exclude each other"),
        (("--models", cats, "--default-model", "cats"), 2, "--default-model is for several models"),
        (("--models", cats, "--models", dogs, "--default-model", "zebra"), 2, "there is no model 'zebra'"),
        (("--models", cats, "--models", dogs, "--model-version", "1"), 2, "--model-version is for one model"),
        (("--models", cats, "--models", str(tmp_path / "cats")), 2, "two models have the name 'cats'"),
        (("--model-root", str(tmp_path / "empty")), 65, "there is no model below it: a folder for each"),
        (("--models", cats, "--models", str(tmp_path / "empty")), 65, "no model is published here"),
    ):
        ended = run_server(*flags)
        assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1


SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
READY: Final = {
    "": SERVING,
    "/ping": 200,
    "health": SERVING,
    "oip": True,
    "/v2": 200,
    "worker": "READY",
    "metric": 1,
}
LOST: Final = {"health": NOT_SERVING, "oip": False, "/v2": 503, "worker": "UNLOADING", "metric": 0}


def readiness(server: ServerProcess, name: str) -> dict[str, Any]:
    """What is said of all models by "" and `/ping`, and of one by the others."""
    with grpc.insecure_channel(server.target) as channel:

        def health(service: str) -> int:
            asked = health_pb2.HealthCheckRequest(service=service)
            return int(health_stub(channel).Check(asked, timeout=PATIENCE_S).status)

        asked = oip.ModelReadyRequest(name=f"{name}_onnx")
        return {
            "": health(""),
            "/ping": over_http(server, "/ping")[0],
            "health": health(f"models/{name}"),
            "oip": GRPCInferenceServiceStub(channel).ModelReady(asked, timeout=PATIENCE_S).ready,
            "/v2": over_http(server, f"/v2/models/{name}/ready")[0],
            "worker": over_http(server, f"/models/{name}")[1][0]["workers"][0]["status"],
            "metric": metrics(server)[f'fovea_model_ready{{model="{name}"}}'],
        }


def listed(server: ServerProcess) -> list[str]:
    return [each["name"] for each in over_http(server, "/v1/models")[1]["models"]]


def answers(client: Client, name: str) -> bool:
    try:
        return bool(client.classify(RED, model=name))
    except CallFailed:
        return False


def metrics(server: ServerProcess) -> dict[str, float]:
    with urllib.request.urlopen(server.metrics_url, timeout=PATIENCE_S) as page:
        lines = [line.rpartition(" ") for line in page.read().decode().splitlines() if line[:1] != "#"]
    return {series: float(value) for series, _, value in lines}


def until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)
