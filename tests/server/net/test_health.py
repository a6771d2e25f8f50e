import signal
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from server.net.health import Health, _BesideCalls, _ServingStates
from tests.rpc import health_stub
from tests.server.event_loop import in_event_loop
from tests.servers import running_server

CLASSIFIER = health_pb2.HealthCheckRequest(service="fovea.v1.Classifier")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PATIENCE_S = 30


@in_event_loop
async def test_a_watcher_that_takes_no_news_keeps_no_other_from_hearing_it() -> None:
    """Of two, one is never asked for its next answer, as gRPC asks for none while its caller takes none."""
    states = _ServingStates()
    states.set(CLASSIFIER.service, serving=True)
    service = _BesideCalls(states)
    stuck, listening = (service.Watch(CLASSIFIER, None) for _ in range(2))
    assert [(await anext(watcher)).status for watcher in (stuck, listening)] == [SERVING, SERVING]
    states.set(CLASSIFIER.service, serving=False)
    assert (await anext(listening)).status == NOT_SERVING
    assert (await anext(service.Watch(CLASSIFIER, None))).status == NOT_SERVING
    assert (await service.Check(CLASSIFIER, None)).status == NOT_SERVING


@in_event_loop
async def test_each_model_that_there_was_has_a_state_of_its_own() -> None:
    health = Health()

    def seen() -> list[int]:
        return [health._states.by_service[f"models/{name}"].status for name in ("cats", "dogs")]

    health.set_ready(True, ["cats", "dogs"])
    assert seen() == [SERVING, SERVING]
    health.set_ready(True, ["dogs"])
    assert seen() == [NOT_SERVING, SERVING], "it was removed"
    health.set_ready(False, ["dogs"])
    assert seen() == [NOT_SERVING, SERVING], "another is not ready"
    health.set_ready(False)
    assert seen() == [NOT_SERVING, NOT_SERVING], "the server drains"


def test_watchers_hear_of_a_drain(tiny_models: Path) -> None:
    with running_server(tiny_models) as server, grpc.insecure_channel(server.target) as channel:
        stub = health_stub(channel)
        watched, _unread = (stub.Watch(CLASSIFIER, timeout=PATIENCE_S) for _ in range(2))
        assert next(watched).status == SERVING
        server.send(signal.SIGTERM)
        assert next(watched).status == NOT_SERVING
        assert server.exit_code() == 0


def test_a_service_that_is_not_known_can_be_watched(channel: grpc.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service="of.another.Program")
    watched = health_stub(channel).Watch(request, timeout=PATIENCE_S)
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watched.cancel()
