"""Whole servers whose calls several processes answer: one port, one model, one set of limits and metrics."""

import contextlib
import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from fovea.model.classifier import Classifier
from fovea.model.versions import publish
from fovea.oip import open_inference_pb2 as oip
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.certificates import Authority, write
from tests.rpc import call_of, health_stub
from tests.server import spoiled
from tests.server.calls.test_drain import CLIENTS, Clients
from tests.server.http.calls import answer_of, connection_to
from tests.server.oip_calls import IMAGES, crops_of, numbers, of_images, of_pixels, wanting
from tests.servers import ServerProcess, compute_processes, held_up, processes, run_server, running_server

PATIENCE_S = 30
CONNECTIONS = 16
"""That all of them reach the same of two fronts happens once in 33,000 times."""
OWN = [("grpc.use_local_subchannel_pool", 1)]
CAPACITY = 24
LOAD = oip.RepositoryModelLoadRequest(model_name="tiny")


class Served(NamedTuple):
    server: ServerProcess
    models: Path
    work: Path
    channels: Sequence[grpc.Channel]
    """Each is a connection of its own."""

    @property
    def stubs(self) -> list[ClassifierStub]:
        return [ClassifierStub(channel) for channel in self.channels]

    @property
    def inferences(self) -> list[GRPCInferenceServiceStub]:
        return [GRPCInferenceServiceStub(channel) for channel in self.channels]

    def fronts(self) -> list[int]:
        return processes(self.server.process.pid, "fovea-front")

    def publish(self, gain: int) -> None:
        publish(tiny.stage_bundle(self.work / f"staged-{gain}", gain=gain), str(self.models))

    @property
    def version(self) -> int:
        """That answers."""
        return self.stubs[0].GetModel(pb.GetModelRequest(), timeout=PATIENCE_S).model.version

    @property
    def latest(self) -> int:
        """That was published."""
        return max(int(folder.name) for folder in self.models.iterdir())

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(self.server.metrics_url, timeout=PATIENCE_S) as page:
            lines = page.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {series: float(value) for series, value in pairs}


@contextlib.contextmanager
def serving(work: Path, *flags: str) -> Iterator[Served]:
    models = work / "models" / "tiny"
    tiny.publish_bundle(models, work / "staged")
    limits = (
        *("--watch-interval-s", "0", "--queue-capacity", str(CAPACITY), "--max-images-per-call", "8"),
        # However calls arrive, a compute process has two of these, and the rest is queued.
        *("--max-batch-size", "2"),
    )
    with running_server(models, "--fronts", "2", *limits, *flags) as server, contextlib.ExitStack() as stack:
        channels = [
            stack.enter_context(grpc.insecure_channel(server.target, OWN)) for _ in range(CONNECTIONS)
        ]
        yield Served(server, models, work, channels)


@pytest.fixture(scope="module", name="served")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("fronts")) as served:
        yield served


def classify_on_all(served: Served, images: int = 1) -> list["grpc.Future[pb.ClassifyBatchResponse]"]:
    request = pb.ClassifyBatchRequest(images=[tiny.picture("red")] * images)
    return [stub.ClassifyBatch.future(request, timeout=PATIENCE_S) for stub in served.stubs]


def ends_of(calls: Sequence["grpc.Future[pb.ClassifyBatchResponse]"]) -> Counter[str]:
    return Counter("OK" if (error := call.exception()) is None else code_of(error) for call in calls)


def retry_after_s(error: BaseException) -> float:
    """As the server foresees it."""
    assert isinstance(error, grpc.RpcError)
    status, told = rpc_status.from_call(call_of(error)), RetryInfo()
    assert status is not None
    assert status.details[0].Unpack(told)
    return float(told.retry_delay.ToMilliseconds()) / 1000


def code_of(error: BaseException) -> str:
    assert isinstance(error, grpc.RpcError)
    return call_of(error).code().name


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_all_fronts_give_the_models_answers(served: Served, tiny_classifier: Classifier) -> None:
    expected = tiny_classifier.classify_with_logits(crops_of(IMAGES))
    assert len(served.fronts()) == 2
    for stub, inference in zip(served.stubs, served.inferences, strict=True):
        for label, row in zip(tiny.LABELS, expected, strict=True):
            image = IMAGES[tiny.LABELS.index(label)]
            answer = stub.Classify(pb.ClassifyRequest(image=image, top_k=3), timeout=PATIENCE_S)
            assert answer.predictions[0].label == label
            shown = {each.index: each.probability for each in answer.predictions}
            assert [shown[index] for index in range(3)] == row[0].tolist()
            assert answer.timing.decode_us > 0
            assert answer.timing.batch_size >= 1
        pixels = inference.ModelInfer(
            wanting(of_pixels(crops_of(IMAGES)), "probabilities", "logits"), timeout=PATIENCE_S
        )
        np.testing.assert_array_equal(numbers(pixels, "probabilities"), expected[:, 0])
        np.testing.assert_array_equal(numbers(pixels, "logits"), expected[:, 1])
        bad = stub.Classify.future(pb.ClassifyRequest(image=b"no image"), timeout=PATIENCE_S).exception()
        assert bad is not None
        assert code_of(bad) == "INVALID_ARGUMENT"


def test_every_front_says_that_the_server_is_ready(served: Served) -> None:
    for channel in served.channels:
        for service in ("", "live", "fovea.v1.Classifier", "inference.GRPCInferenceService"):
            request = health_pb2.HealthCheckRequest(service=service)
            status = health_stub(channel).Check(request, timeout=PATIENCE_S).status
            assert status == health_pb2.HealthCheckResponse.SERVING


def test_metrics_and_statistics_are_of_all_calls_whichever_front_answered(served: Served) -> None:
    before, statistics = served.metrics(), infer_statistics(served)
    for stub, inference in zip(served.stubs, served.inferences, strict=True):
        stub.Classify(pb.ClassifyRequest(image=tiny.picture("green")), timeout=PATIENCE_S)
        inference.ModelInfer(of_images(), timeout=PATIENCE_S)
    after = served.metrics()
    seen = {series: after[series] - before[series] for series in after if after[series] != before[series]}
    ok = 'fovea_requests_total{code="OK",method="%s"}'
    assert seen[ok % "Classify"] == seen[ok % "ModelInfer"] == CONNECTIONS
    assert seen['fovea_request_seconds_count{method="Classify"}'] == CONNECTIONS
    assert seen['fovea_predictions_total{label="green"}'] == 2 * CONNECTIONS
    assert after["fovea_inflight_images"] == after["fovea_inflight_bytes"] == 0
    for _ in range(CONNECTIONS):  # by whichever front
        now = infer_statistics(served)
        assert now.inference_stats.success.count - statistics.inference_stats.success.count == CONNECTIONS
        assert now.inference_count - statistics.inference_count == 4 * CONNECTIONS


def infer_statistics(served: Served) -> oip.ModelStatistics:
    served_by = served.inferences[0]
    request = oip.ModelStatisticsRequest(name="tiny")
    (statistics,) = served_by.ModelStatistics(request, timeout=PATIENCE_S).model_stats
    return statistics


def test_limits_hold_over_all_fronts_together(served: Served) -> None:
    with held_up(served.server):
        first = classify_on_all(served)
        until(lambda: served.metrics()["fovea_inflight_images"] == CONNECTIONS)
        more = classify_on_all(served)
        until(lambda: sum(call.done() for call in more) >= CONNECTIONS - (0.75 * CAPACITY - CONNECTIONS))
    ends = ends_of(first) + ends_of(more)
    assert ends["OK"] == 0.75 * CAPACITY, "bulk calls have three quarters of the room"
    assert ends["RESOURCE_EXHAUSTED"] == 2 * CONNECTIONS - 0.75 * CAPACITY
    refused = next(error for call in more if (error := call.exception()) and code_of(error) != "OK")
    assert retry_after_s(refused) >= 0.05
    until(lambda: served.metrics()["fovea_inflight_images"] == 0)


def test_a_deadline_is_kept_and_who_leaves_is_not_computed(served: Served) -> None:
    batches = served.metrics()["fovea_batch_images_sum"]
    with held_up(served.server):
        waiting = classify_on_all(served)
        until(lambda: served.metrics()["fovea_inflight_images"] == CONNECTIONS)
        for call in waiting:
            call.cancel()
        until(lambda: served.metrics()["fovea_inflight_images"] == 0)
        until(lambda: served.metrics()["fovea_queued_images"] == 0)
        late = served.stubs[0].Classify.future(pb.ClassifyRequest(image=tiny.picture("red")), timeout=0.2)
        error = late.exception()
        assert error is not None
        assert code_of(error) == "DEADLINE_EXCEEDED"
    assert ends_of(classify_on_all(served)) == Counter(OK=CONNECTIONS)
    computed = served.metrics()["fovea_batch_images_sum"] - batches
    assert CONNECTIONS <= computed < 2 * CONNECTIONS


def test_a_new_version_serves_on_every_front_when_its_load_returns(served: Served) -> None:
    for gain in (3, 4):
        served.publish(gain)
        served.inferences[gain].RepositoryModelLoad(LOAD, timeout=PATIENCE_S)
        for stub in served.stubs:
            answer = stub.Classify(pb.ClassifyRequest(image=tiny.picture("red")), timeout=PATIENCE_S)
            assert answer.model.version == served.latest
            assert stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE_S).model.version == served.latest
        assert infer_statistics(served).inference_count == CONNECTIONS


def test_no_call_fails_as_versions_come(served: Served) -> None:
    clients = Clients(served.server.target)
    try:
        for gain in (5, 6):
            served.publish(gain)
            served.server.send(signal.SIGHUP)
            until(lambda: served.version == served.latest)
            for _ in range(2 * CLIENTS):
                assert clients.answered.acquire(timeout=PATIENCE_S)
    finally:
        clients.stop()
        clients.join()
    assert (set(clients.ends), clients.wrong) == ({"OK"}, 0)


def test_a_bad_version_is_told_of_by_every_front(served: Served) -> None:
    current = served.version
    publish(spoiled.change_a_byte(tiny.stage_bundle(served.work / "bad", gain=9)), str(served.models))
    # All at once, for there is one look a second.
    inferences = served.inferences
    loads = [inference.RepositoryModelLoad.future(LOAD, timeout=PATIENCE_S) for inference in inferences]
    for inference, load in zip(inferences, loads, strict=True):
        error = load.exception()
        assert error is not None
        assert code_of(error) == "FAILED_PRECONDITION"
        models = inference.RepositoryIndex(oip.RepositoryIndexRequest(), timeout=PATIENCE_S).models
        states = {(entry.name, entry.version): entry.state for entry in models}
        assert states["tiny", str(current)] == "READY"
        assert states["tiny", str(current + 1)] == "UNAVAILABLE"


def test_a_front_that_is_killed_takes_its_calls_with_it_and_comes_back(served: Served) -> None:
    counted = 'fovea_requests_total{code="OK",method="ClassifyBatch"}'
    assert ends_of(classify_on_all(served)) == Counter(OK=CONNECTIONS)
    before = served.metrics()[counted]
    victim, other = served.fronts()
    with held_up(served.server):
        calls = classify_on_all(served)
        until(lambda: served.metrics()["fovea_inflight_images"] == CONNECTIONS)
        os.kill(victim, signal.SIGKILL)
        assert served.server.wait_for("a front died")["how"] == "SIGKILL"
        until(lambda: served.metrics()["fovea_inflight_images"] < CONNECTIONS)
        left = int(served.metrics()["fovea_inflight_images"])
    ends = ends_of(calls)
    assert ends == Counter(OK=left, UNAVAILABLE=CONNECTIONS - left)
    assert 0 < left < CONNECTIONS
    served.server.wait_for("a front was started again")
    assert other in served.fronts()
    assert len(served.fronts()) == 2
    assert victim not in served.fronts()
    assert ends_of(classify_on_all(served)) == Counter(OK=CONNECTIONS)
    assert served.metrics()[counted] == before + left + CONNECTIONS, "what it counted stays"
    served.publish(7)
    served.inferences[0].RepositoryModelLoad(LOAD, timeout=PATIENCE_S)  # nothing holds the one before
    assert served.version == served.latest


def test_what_ends_other_programs_does_not_end_a_front(served: Served) -> None:
    fronts = served.fronts()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for pid in fronts:
            os.kill(pid, signum)
    assert ends_of(classify_on_all(served)) == Counter(OK=CONNECTIONS)
    assert served.fronts() == fronts


def test_a_compute_process_that_is_killed_takes_no_call_with_it(served: Served) -> None:
    (worker,) = compute_processes(served.server.process.pid)
    with held_up(served.server):
        calls = classify_on_all(served)
        until(lambda: served.metrics()["fovea_inflight_images"] == CONNECTIONS)
        os.kill(worker, signal.SIGKILL)
        served.server.wait_for("a compute process was started again")
    assert ends_of(calls) == Counter(OK=CONNECTIONS)


def test_a_second_server_on_the_port_is_refused_whatever_its_fronts(served: Served) -> None:
    port = str(served.server.ready["port"])
    for fronts in ("1", "2"):
        taken = ("--host", "127.0.0.1", "--port", port, "--fronts", fronts)
        refused = run_server("--models", str(served.models), *taken)
        assert refused.returncode == 69
        assert refused.stderr.strip().splitlines() == [
            f"error: --port {port}: cannot listen on 127.0.0.1:{port}; it is taken, or not this machine's: "
            "choose another --port (0 for a free one) or another --host"
        ]


def test_every_front_speaks_http_on_one_port(served: Served) -> None:
    def answered() -> int:
        return int(served.metrics()['fovea_requests_total{code="OK",method="HTTP Classify"}'])

    before = answered()
    connections = [connection_to(served.server) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.request("POST", "/v1/classify", tiny.picture("red"))
    for connection in connections:
        assert answer_of(connection.getresponse()).json["predictions"][0]["label"] == "red"
        connection.close()
    assert answered() - before == CONNECTIONS
    port = str(served.server.ready["http_port"])
    taken = ("--host", "127.0.0.1", "--http-port", port)
    for fronts in ("1", "2"):
        refused = run_server("--models", str(served.models), *taken, "--fronts", fronts)
        assert refused.stderr.startswith(f"error: --http-port {port}: cannot listen on 127.0.0.1:{port}")
        assert refused.returncode == 69


def test_every_front_speaks_tls_and_without_any_the_server_is_not_ready(tmp_path: Path) -> None:
    authority = Authority.create()
    write(tmp_path, authority, authority.issue("server"))
    files = {"--tls-cert": "tls.crt", "--tls-key": "tls.key", "--tls-client-ca": "ca.pem"}
    flags = [part for flag, file in files.items() for part in (flag, str(tmp_path / file))]
    caller = authority.issue("caller")
    with serving(tmp_path, *flags) as served:
        for own, ends in (((caller.key, caller.certificate), "OK"), ((), "UNAVAILABLE")):
            with contextlib.ExitStack() as stack:
                credentials = grpc.ssl_channel_credentials(authority.pem, *own)
                channels = [
                    stack.enter_context(grpc.secure_channel(served.server.target, credentials, OWN))
                    for _ in range(CONNECTIONS)
                ]
                calls = classify_on_all(served._replace(channels=channels))
                assert ends_of(calls) == Counter({ends: CONNECTIONS})
        (tmp_path / "tls.key").write_bytes(caller.key)
        with grpc.insecure_channel(served.server.health_target) as probe:
            for pid in served.fronts():
                os.kill(pid, signal.SIGKILL)
            until(lambda: not says_ready(probe))
            reason = served.server.wait_for("a front does not start again")["reason"]
            assert "does not belong to the certificate" in reason
            write(tmp_path, authority, authority.issue("server"))
            until(lambda: says_ready(probe))


def says_ready(channel: grpc.Channel) -> bool:
    status = health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status
    return status == health_pb2.HealthCheckResponse.SERVING


def test_more_in_flight_than_can_be_mapped_ends_the_server_with_a_line(served: Served) -> None:
    limits = ("--queue-capacity", str(10**15), "--fronts", "2")
    refused = run_server("--models", str(served.models), "--host", "127.0.0.1", *limits)
    (line,) = refused.stderr.splitlines()
    assert line.startswith("error: --fronts: memory for the images in flight cannot be had: ")
    assert refused.returncode == 69


def test_sigterm_under_load_answers_what_was_accepted(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        fronts = served.fronts()
        clients = Clients(served.server.target)
        for _ in range(5 * CLIENTS):
            assert clients.answered.acquire(timeout=PATIENCE_S)
        served.server.send(signal.SIGTERM)
        assert served.server.exit_code() == 0
        clients.join()
    assert (set(clients.ends), clients.wrong) == ({"OK", "UNAVAILABLE"}, 0)
    assert all(has_ended(pid) for pid in fronts)


def test_calls_that_are_cut_at_the_end_of_the_grace_period_are_told_by_the_exit_code(tmp_path: Path) -> None:
    with serving(tmp_path, "--grace-s", "0.1") as served, held_up(served.server):
        calls = classify_on_all(served)
        until(lambda: served.metrics()["fovea_inflight_images"] == CONNECTIONS)
        served.server.send(signal.SIGTERM)
        assert served.server.exit_code() == 143
        assert "OK" not in ends_of(calls)


def test_the_servers_death_is_that_of_its_fronts(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        fronts = served.fronts()
        with held_up(served.server):
            calls = classify_on_all(served)
            until(lambda: served.metrics()["fovea_inflight_images"] == CONNECTIONS)
            served.server.send(signal.SIGKILL)
            assert ends_of(calls) == Counter(UNAVAILABLE=CONNECTIONS)
        until(lambda: all(has_ended(pid) for pid in fronts))


def has_ended(pid: int) -> bool:
    """Nobody may wait for it any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
