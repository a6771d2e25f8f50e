"""Images that `make images` built. A test that needs one which is not there is skipped."""

import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.containers.image import Image, mounted
from tests.deploy.manifests import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NAMES = {
    "serve": f"fovea-serve:{VERSION}",
    "serve-gpu": f"fovea-serve:{VERSION}-gpu",
    "train": f"fovea-train:{VERSION}",
}


@pytest.fixture(scope="session")
def image_named() -> Iterator[Callable[[str], Image]]:
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(mounted(name)))


@pytest.fixture(params=NAMES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def image(kind: str, image_named: Callable[[str], Image]) -> Image:
    """Each image in its turn."""
    return image_named(NAMES[kind])


@pytest.fixture(params=["serve", "serve-gpu"])
def serving_image(request: pytest.FixtureRequest, image_named: Callable[[str], Image]) -> Image:
    return image_named(NAMES[request.param])


@pytest.fixture
def cpu_image(image_named: Callable[[str], Image]) -> Image:
    return image_named(NAMES["serve"])


@pytest.fixture
def gpu_image(image_named: Callable[[str], Image]) -> Image:
    return image_named(NAMES["serve-gpu"])
