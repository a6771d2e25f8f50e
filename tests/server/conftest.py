from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests.server.triton_release import Release
from tests.servers import ServerProcess, running_server


@pytest.fixture(scope="session")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    """A server of the tiny model, shared by the tests that only call it."""
    with running_server(tiny_models, "--log-level", "debug", "--threads", "2") as running:
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


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """With version 1 published, and nothing laid out."""
    release = Release(tmp_path)
    release.publish()
    return release
