import asyncio
import os
import shutil
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from fovea.errors import ExitCode
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server import lifecycle
from server.config import ServeSettings
from server.lifecycle import Ports, Server
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel
from tests import tiny
from tests.rpc import call_of, health_stub
from tests.server.event_loop import all_has_run, in_event_loop
from tests.server.http.calls import answer_of, connection_to
from tests.server.models.test_loaded_models import swap
from tests.servers import (
    FREE_PORTS,
    ServerProcess,
    compute_processes,
    held_up,
    run_server,
    running_server,
    started_server,
)

ON_FREE_PORTS = ("--host", "127.0.0.1", *FREE_PORTS)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
BATCH = pb.ClassifyBatchRequest(images=[tiny.picture("red")] * 8)


def test_sigterm_answers_what_is_in_flight_and_exits_0(tiny_models: Path) -> None:
    with running_server(tiny_models) as server, grpc.insecure_channel(server.target) as channel:
        with held_up(server):
            batch = ClassifierStub(channel).ClassifyBatch.future(BATCH, timeout=60)
            over_http = connection_to(server)
            over_http.request("POST", "/v1/classify", tiny.picture("blue"))
            wait_until_in_flight(server, len(BATCH.images) + 1)
            server.send(signal.SIGTERM)
            server.wait_for("draining")
        labels = [result.response.predictions[0].label for result in batch.result().results]
        assert labels == ["red"] * len(BATCH.images)
        answer = answer_of(over_http.getresponse())
        assert answer.json["predictions"][0]["label"] == "blue"
        assert answer.headers["Connection"] == "close"
        assert server.exit_code() == 0


def test_ctrl_c_answers_what_is_in_flight_and_exits_130(tiny_models: Path) -> None:
    with running_server(tiny_models) as server, grpc.insecure_channel(server.target) as channel:
        with held_up(server):
            batch = ClassifierStub(channel).ClassifyBatch.future(BATCH, timeout=60)
            wait_until_in_flight(server)
            server.send(signal.SIGINT)
            server.wait_for("draining")
        assert len(batch.result().results) == len(BATCH.images)
        assert server.exit_code() == 130


def test_calls_that_outlast_the_grace_are_cut_and_the_exit_code_says_so(tiny_models: Path) -> None:
    with (
        running_server(tiny_models, "--grace-s", "0") as server,
        grpc.insecure_channel(server.target) as channel,
        held_up(server),
    ):
        batch = ClassifierStub(channel).ClassifyBatch.future(BATCH, timeout=60)
        wait_until_in_flight(server)
        server.send(signal.SIGTERM)
        assert isinstance(batch.exception(), grpc.RpcError)
        assert server.exit_code() == 143


def test_draining_server_serves_on_but_says_it_is_not_ready(tiny_models: Path) -> None:
    with running_server(tiny_models, "--drain-delay-s", "600") as server:
        server.send(signal.SIGTERM)
        server.wait_for("draining")
        assert health(server.health_target, "") == NOT_SERVING
        assert health(server.target, "fovea.v1.Classifier") == NOT_SERVING
        assert health(server.health_target, "live") == SERVING
        assert classify(server.target).predictions[0].label == "red"
        server.process.kill()


def test_second_signal_exits_at_once(tiny_models: Path) -> None:
    with running_server(tiny_models, "--drain-delay-s", "600") as server:
        server.send(signal.SIGTERM)
        server.wait_for("draining")
        server.send(signal.SIGTERM)
        assert server.exit_code() == 143


def test_server_that_waits_is_live_but_not_ready_and_then_serves_what_is_published(tmp_path: Path) -> None:
    with started_server(tmp_path / "models", "--wait-for-model", "--watch-interval-s", "0.1") as server:
        ports = server.wait_for("waiting for a version to be published")
        assert health(f"127.0.0.1:{ports['health_port']}", "live") == SERVING
        assert health(f"127.0.0.1:{ports['health_port']}", "") == NOT_SERVING
        with pytest.raises(grpc.RpcError) as raised:
            classify(f"127.0.0.1:{ports['port']}")
        assert call_of(raised.value).code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"http://127.0.0.1:{ports['http_port']}/v1/models", timeout=30)

        tiny.publish_bundle(tmp_path / "models", tmp_path / "staging")
        assert server.ready["version"] == 1
        assert health(server.health_target, "") == SERVING
        assert classify(server.target).predictions[0].label == "red"


def test_server_that_waits_captures_already_and_ends_at_sigterm(tmp_path: Path) -> None:
    with started_server(tmp_path / "models", "--wait-for-model", "--capture", str(tmp_path)) as server:
        server.wait_for("answers are captured")
        server.wait_for("waiting for a version to be published")
        server.send(signal.SIGTERM)
        assert server.exit_code() == 0


class StoppedAsItLoads(Server):
    """Gets SIGTERM as it loads a model, which takes longer to give up than there is to drain."""

    def __init__(self, settings: ServeSettings) -> None:
        super().__init__(settings)
        self.has_given_up = False
        self._has_drained = asyncio.Event()

    async def load(self, ports: Ports) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._has_drained.wait()
            await all_has_run()
            self.has_given_up = True

    async def drain(self) -> bool:
        drained = await super().drain()
        self._has_drained.set()
        return drained

    async def close(self) -> None:
        assert self.has_given_up
        await super().close()


@in_event_loop
async def test_what_loads_has_been_given_up_before_the_server_ends() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "Server", StoppedAsItLoads)
        settings = ServeSettings(models="unused", port=0, metrics_port=0, health_port=0, drain_delay_s=0)
        assert await lifecycle.serve(settings) == ExitCode.DONE


class OneComesLater:
    """As much of Watchers as a server needs that waits: `b` is published when a test says so."""

    may_come: asyncio.Event

    def __init__(self, _: ServeSettings, models: Catalogue[ServedModel], *others: object) -> None:
        self._models = {name: models.add(name) for name in ("a", "b")}

    async def load_first(self, _: Callable[[], None]) -> None:
        swap(self._models["a"], 1, "a")
        await self.may_come.wait()
        swap(self._models["b"], 1, "b")

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def close(self) -> None:
        """Nor to close."""


@in_event_loop
async def test_health_says_that_a_model_answers_while_the_server_waits_for_another() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "Watchers", OneComesLater)
        OneComesLater.may_come = asyncio.Event()
        settings = ServeSettings(
            models="a,b", wait_for_model=True, http=False, port=0, metrics_port=0, health_port=0
        )
        server = Server(settings)
        ports = await server.open_ports()
        target = f"127.0.0.1:{ports.health_port}"

        async def said() -> list[int]:
            services = ("models/a", "fovea.v1.Classifier", "inference.GRPCInferenceService", "")
            return [await asyncio.to_thread(health, target, service) for service in services]

        loading = asyncio.create_task(server.load(ports))
        await all_has_run()
        assert await said() == [SERVING, SERVING, SERVING, NOT_SERVING]
        OneComesLater.may_come.set()
        await loading
        await server.become_ready(ports)
        assert await said() == [SERVING] * 4
        await server.close()


def test_older_version_is_served_when_it_is_asked_for(tiny_models: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_models, tmp_path / "tiny")
    tiny.publish_bundle(tmp_path / "tiny", tmp_path / "staging", gain=4.0)
    with running_server(tmp_path / "tiny", "--model-version", "1") as server:
        assert server.ready["version"] == 1


@pytest.mark.parametrize("option", ["--port", "--http-port", "--metrics-port", "--health-port"])
def test_port_that_is_taken_is_named(tiny_models: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_server("--models", str(tiny_models), *ON_FREE_PORTS, option, port)
    assert ended.returncode == 69
    assert one_line(ended.stderr).startswith(f"error: {option} {port}: cannot listen on 127.0.0.1:{port}")


def test_without_http_there_is_no_port_of_it(tiny_models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with running_server(tiny_models, "--no-http", "--http-port", port) as server:
            assert server.ready["http_port"] is None


def test_two_servers_never_share_a_port(server: ServerProcess, tiny_models: Path) -> None:
    """Started anew, it says nothing of gRPC's own beside its line."""
    flags = (*ON_FREE_PORTS, "--port", str(server.ready["port"]))
    ended = run_server("--models", str(tiny_models), *flags, python=sys.executable)
    assert ended.returncode == 69
    assert one_line(ended.stderr)


def test_folder_without_a_model_ends_with_65(tmp_path: Path) -> None:
    ended = run_server("--models", str(tmp_path), *ON_FREE_PORTS)
    assert ended.returncode == 65
    assert one_line(ended.stderr).startswith(f"error: {tmp_path}: no model is published here")


def test_version_that_does_not_exist_ends_with_65(tiny_models: Path) -> None:
    ended = run_server("--models", str(tiny_models), "--model-version", "7", *ON_FREE_PORTS)
    assert ended.returncode == 65
    assert "there is no version 7 (there are: 1)" in one_line(ended.stderr)


def test_bundle_with_a_changed_byte_ends_with_65(tiny_models: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_models, tmp_path / "tiny")
    model = tmp_path / "tiny" / "1" / "model.onnx"
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    ended = run_server("--models", str(tmp_path / "tiny"), *ON_FREE_PORTS)
    assert ended.returncode == 65
    assert "model.onnx: changed since it was released" in one_line(ended.stderr)


def test_wrong_flag_ends_with_2() -> None:
    ended = run_server("--models", "models/pets", "--max-batch-sise", "4")
    assert ended.returncode == 2
    assert one_line(ended.stderr).endswith("did you mean --max-batch-size?")


def test_server_without_a_compute_process_is_live_but_not_ready(tiny_models: Path, tmp_path: Path) -> None:
    models, elsewhere = tmp_path / tiny_models.name, tmp_path / "elsewhere"
    shutil.copytree(tiny_models, models)
    with running_server(models, "--threads", "1") as server, grpc.insecure_channel(server.target) as channel:
        watches = [watch(channel, service) for service in ("", "fovea.v1.Classifier")]
        assert [next(each).status for each in watches] == [SERVING] * 2
        models.rename(elsewhere)  # so that no other process can be started
        (process,) = compute_processes(server.process.pid)
        os.kill(process, signal.SIGKILL)
        assert [next(each).status for each in watches] == [NOT_SERVING] * 2
        for target in (server.target, server.health_target):
            assert health(target, "") == health(target, "fovea.v1.Classifier") == NOT_SERVING
            assert health(target, "live") == SERVING
        elsewhere.rename(models)
        assert [next(each).status for each in watches] == [SERVING] * 2
        assert health(server.health_target, "") == SERVING
        assert classify(server.target).predictions[0].label == "red"


def watch(channel: grpc.Channel, service: str) -> Iterator[health_pb2.HealthCheckResponse]:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_stub(channel).Watch(request, timeout=60)


def wait_until_in_flight(server: ServerProcess, images: int = len(BATCH.images)) -> None:
    page = ""
    while f"fovea_inflight_images {images}.0" not in page:
        with urllib.request.urlopen(server.metrics_url, timeout=30) as response:
            page = response.read().decode()


def classify(target: str) -> pb.ClassifyResponse:
    with grpc.insecure_channel(target) as channel:
        request = pb.ClassifyRequest(image=tiny.picture("red"))
        return ClassifierStub(channel).Classify(request, timeout=30)


def health(target: str, service: str) -> int:
    with grpc.insecure_channel(target) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return health_stub(channel).Check(request, timeout=30).status


def one_line(stderr: str) -> str:
    (line,) = stderr.splitlines()
    return line
