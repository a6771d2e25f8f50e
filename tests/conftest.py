import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fovea import stopping
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from tests import tiny
from tests.programs import wait_for_no_disk
from tests.shared import SharedFolder

pytest_plugins = ["tests.browser", "tests.buckets"]
collect_ignore = ["triton"]  # run in an environment of their own, by `make test-triton`


gc.disable()  # while some thousand modules are loaded, of which nothing is garbage: it takes seconds to look

LONG_FIRST = ("test_end_to_end.py", "test_wheel.py", "trainer", "scorer", "server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no process is at work long after the others."""
    items.sort(key=_turn)


def pytest_collection_finish() -> None:
    """From here on garbage is collected, but not looked for in what is there as long as the tests run."""
    gc.freeze()
    gc.enable()


def _turn(item: pytest.Item) -> int:
    room = item.path.relative_to(Path(__file__).parent).parts[0]
    return LONG_FIRST.index(room) if room in LONG_FIRST else len(LONG_FIRST)


@pytest.fixture(autouse=True)
def _no_stop_is_left_over() -> Iterator[None]:
    """What one test catches that a signal raised is not for the next one to hear."""
    yield
    stopping.forget()


@pytest.fixture(scope="session", autouse=True)
def _nobody_waits_for_the_disk() -> Iterator[None]:
    """What is written to outlast a cut of the power costs milliseconds a file, and here no power is cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", wait_for_no_disk)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> SharedFolder:
    return SharedFolder(tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the tiny model as version 1. Not to be changed: it is shared."""
    root = tmp_path_factory.mktemp("tiny")
    tiny.publish_bundle(root / "models" / "tiny", root / "staging", embeds=True)
    return root / "models" / "tiny"


@pytest.fixture(scope="session")
def tiny_bundle(tiny_models: Path) -> ModelBundle:
    return ModelBundle.open(tiny_models / "1")


@pytest.fixture(scope="session")
def tiny_classifier(tiny_bundle: ModelBundle) -> Classifier:
    return Classifier(tiny_bundle, provider="cpu", threads=1)
