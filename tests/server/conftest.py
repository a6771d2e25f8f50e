from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests.servers import ServerProcess, running_server


@pytest.fixture(scope="session")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    """A server of the tiny model, shared by the tests that only call it."""
    with running_server(tiny_models, "--log-level", "debug") as running:
        yield running


@pytest.fixture(scope="session")
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.target) as connected:
        yield connected


@pytest.fixture(scope="session")
def stub(channel: grpc.Channel) -> ClassifierStub:
    return ClassifierStub(channel)


@pytest.fixture(scope="session")
def inference(channel: grpc.Channel) -> GRPCInferenceServiceStub:
    return GRPCInferenceServiceStub(channel)
