import signal
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fovea.client import Client
from tests import tiny
from tests.closed_window import asked_and_not_listening
from tests.servers import ServerProcess, running_server

WATCH = "/grpc.health.v1.Health/Watch"
CLASSIFIER = health_pb2.HealthCheckRequest(service="fovea.v1.Classifier")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PATIENCE_S = 30


def test_a_watcher_that_takes_no_news_keeps_no_client_from_calling(server: ServerProcess) -> None:
    port = server.ready["port"]
    with (
        asked_and_not_listening(port, WATCH, CLASSIFIER.SerializeToString()),
        Client(server.target, timeout_s=PATIENCE_S) as client,
    ):
        assert client.classify(tiny.picture("red")).label == "red"


def test_a_watcher_that_takes_no_news_keeps_no_other_from_hearing_of_a_drain(tiny_models: Path) -> None:
    with (
        running_server(tiny_models) as server,
        grpc.insecure_channel(server.target) as channel,
        asked_and_not_listening(server.ready["port"], WATCH, CLASSIFIER.SerializeToString()),
    ):
        watched = health_pb2_grpc.HealthStub(channel).Watch(CLASSIFIER, timeout=PATIENCE_S)
        assert next(watched).status == SERVING
        server.send(signal.SIGTERM)
        assert next(watched).status == NOT_SERVING
        assert server.exit_code() == 0


def test_a_service_that_is_not_known_can_be_watched(channel: grpc.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service="of.another.Program")
    watched = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=PATIENCE_S)
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watched.cancel()
