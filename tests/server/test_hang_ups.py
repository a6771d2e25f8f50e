"""Callers who hang up while their answer is being sent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fovea.client import Client
from fovea.v1 import classify_pb2 as pb
from tests import tiny
from tests.closed_window import asked_and_not_listening
from tests.servers import ServerProcess, running_server

IMAGE = tiny.picture("red")
REQUESTS = {
    "Classify": pb.ClassifyRequest(image=IMAGE),
    "ClassifyBatch": pb.ClassifyBatchRequest(images=[IMAGE]),
    "ClassifyStream": pb.ClassifyRequest(image=IMAGE),
}
TIMES = 5


@pytest.fixture
def logging_server(tiny_models: Path) -> Iterator[ServerProcess]:
    """It logs each call."""
    with running_server(tiny_models, "--log-level", "debug", "--threads", "1") as running:
        yield running


@pytest.mark.parametrize("method", REQUESTS)
def test_the_server_lives_on_when_callers_hang_up_amid_an_answer(
    logging_server: ServerProcess, method: str
) -> None:
    hang_up(logging_server, method)
    with Client(logging_server.target) as client:
        assert client.classify(IMAGE).label == "red"


def test_a_caller_who_hangs_up_amid_an_answer_is_no_error_in_the_log(logging_server: ServerProcess) -> None:
    for method in REQUESTS:
        hang_up(logging_server, method)
    logging_server.end()
    assert logging_server.exit_code() == 0
    assert not any('"level": "error"' in line for line in logging_server.stderr)


def hang_up(server: ServerProcess, method: str) -> None:
    """Several times, until the server has noticed."""
    data = REQUESTS[method].SerializeToString()
    for _ in range(TIMES):
        with asked_and_not_listening(server.ready["port"], f"/fovea.v1.Classifier/{method}", data):
            pass
        assert server.wait_for("call")["method"] == method
