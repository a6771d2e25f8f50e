import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.triton_server import PROJECT_PYTHON, running_triton
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from tests.servers import running_server
from tests.triton import project
from tests.triton.callers import Caller, calling

PATIENCE_S = 30
MANY = ("--max-batch-size", "64")


@dataclass(frozen=True)
class Digits:
    """The demo's model, hardly trained."""

    models: Path
    images: list[bytes]
    """That were held out, some of each class."""
    held_out: list[bytes]
    classifier: Classifier


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    models, files = project.train_digits(tmp_path_factory.mktemp("digits"))
    classifier = Classifier(ModelBundle.open(models / "1"), "cpu", 1)
    held_out = [file.read_bytes() for file in files]
    return Digits(models, held_out[:: len(files) // 64], held_out, classifier)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the tiny model as version 1. Not to be changed: it is shared."""
    root = tmp_path_factory.mktemp("tiny")
    project.publish_tiny(root / "models" / "tiny", root / "staging")
    return root / "models" / "tiny"


@dataclass(frozen=True)
class Served:
    """Where a server answers, by protocol."""

    grpc: str
    http: str


@contextmanager
def serving(kind: str, models: Path, scratch: Path) -> Iterator[Served]:
    """A server of that kind."""
    if kind == "triton":
        with running_triton(models, scratch, *MANY) as triton:
            triton.wait_for("Started HTTPService")
            until_listening(triton.http_target)
            yield Served(triton.target, triton.http_target)
    else:
        with running_server(models, *MANY, python=str(PROJECT_PYTHON)) as fovea:
            yield Served(fovea.target, fovea.http_target)


def until_listening(target: str) -> None:
    """Triton says that it has started before it listens."""
    host, _, port = target.rpartition(":")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection((host, int(port)), PATIENCE_S).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session", params=["triton", "fovea"])
def served(
    request: pytest.FixtureRequest, digits: Digits, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The digits, by each server that speaks the protocol."""
    kind = str(request.param)
    with serving(kind, digits.models, tmp_path_factory.mktemp(kind)) as served:
        yield served


@pytest.fixture(params=["grpc", "http"])
def caller(request: pytest.FixtureRequest, served: Served) -> Iterator[Caller]:
    """Connected to a server of the digits."""
    with calling(request.param, getattr(served, request.param)) as connected:
        yield connected
