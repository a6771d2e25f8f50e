from collections.abc import Iterator
from pathlib import Path

import pytest

from fovea import stopping
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from tests import tiny
from tests.shared import SharedFolder

pytest_plugins = ["tests.browser", "tests.buckets"]
collect_ignore = ["triton"]  # run in an environment of their own, by `make test-triton`


@pytest.fixture(autouse=True)
def _no_stop_is_left_over() -> Iterator[None]:
    """What one test catches that a signal raised is not for the next one to hear."""
    yield
    stopping.forget()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> SharedFolder:
    return SharedFolder(tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the tiny model as version 1. Not to be changed: it is shared."""
    root = tmp_path_factory.mktemp("tiny")
    tiny.publish_bundle(root / "models" / "tiny", root / "staging")
    return root / "models" / "tiny"


@pytest.fixture(scope="session")
def tiny_bundle(tiny_models: Path) -> ModelBundle:
    return ModelBundle.open(tiny_models / "1")


@pytest.fixture(scope="session")
def tiny_classifier(tiny_bundle: ModelBundle) -> Classifier:
    return Classifier(tiny_bundle, provider="cpu", threads=1)
