from collections.abc import Iterable

import pytest

from tests.deploy.compositions import COMPOSITIONS, PLAIN, Composition
from tests.deploy.manifests import Manifest, Rendering, Workload, render

TRAINING = ("fovea-train", "job.yaml")
WHOLE = ("fovea-score", *TRAINING)
JOBS = (*WHOLE, "fovea-score-work")


def _is_in(name: str, composition: Composition) -> bool:
    if name == "job.yaml":
        return composition == PLAIN
    return name != "fovea-train" or composition.folders != ("base",)


def _each(names: Iterable[str]) -> list[object]:
    return [
        pytest.param((composition, name), id=f"{composition.name}: {name}")
        for composition in COMPOSITIONS
        for name in names
        if _is_in(name, composition)
    ]


@pytest.fixture(params=COMPOSITIONS, ids=lambda composition: composition.name)
def rendering(request: pytest.FixtureRequest) -> Rendering:
    """Each way to put deploy/ together."""
    return render(request.param)


@pytest.fixture(name="workload", params=_each(("fovea-serve", *JOBS)))
def any_workload(request: pytest.FixtureRequest) -> Workload:
    """Each thing that makes pods."""
    return find(*request.param)


@pytest.fixture(params=_each(JOBS))
def job(request: pytest.FixtureRequest) -> Workload:
    """Each thing whose pods run to an end."""
    return find(*request.param)


@pytest.fixture(params=_each(TRAINING))
def training(request: pytest.FixtureRequest) -> Workload:
    return find(*request.param)


@pytest.fixture(params=_each(WHOLE))
def whole_job(request: pytest.FixtureRequest) -> Workload:
    """Each Job of one pod, that is done when the pod is."""
    return find(*request.param)


@pytest.fixture(params=_each(["fovea-score"]))
def driver(request: pytest.FixtureRequest) -> Workload:
    return find(*request.param)


@pytest.fixture(params=_each(["fovea-score-work"]))
def workers(request: pytest.FixtureRequest) -> Workload:
    return find(*request.param)


@pytest.fixture(params=_each(["fovea-serve"]))
def serving(request: pytest.FixtureRequest) -> Workload:
    return find(*request.param)


@pytest.fixture(params=_each(["fovea-score", "fovea-score-work", "fovea-train"]))
def cron(request: pytest.FixtureRequest) -> Manifest:
    """The spec of each CronJob."""
    return find(*request.param).manifest["spec"]


def find(composition: Composition, name: str) -> Workload:
    return render(composition).pods(name)
