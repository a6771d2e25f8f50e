"""What tests of deploy/ ask for: one test goes over all ways to put it together, and says where it failed.

A test for each composition would be 8,000 tests, which take longer to count than to run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.deploy import manifests
from tests.deploy.compositions import COMPOSITIONS, PLAIN, Composition
from tests.deploy.manifests import Manifest, Workload, render
from tests.shared import SharedFolder

TRAINING = ("fovea-train", "fovea-retrain", "job.yaml", "trainjob.yaml")
JOBS = ("fovea-score", "fovea-train", "fovea-retrain", "job.yaml", "fovea-score-work")


def _is_in(name: str, composition: Composition) -> bool:
    if name == "job.yaml":
        return composition == PLAIN
    if name == "trainjob.yaml" and "kubeflow" not in composition.components:
        return False
    return name not in TRAINING or composition.folders != ("base",)


@pytest.fixture(scope="session", autouse=True)
def _render_once(shared: SharedFolder) -> None:
    """For all processes."""

    def keep(name: str, make: Callable[[], str]) -> str:
        return shared.once(f"rendering {name}", lambda path: path.write_text(make())).read_text()

    manifests.keep = keep


@dataclass(frozen=True)
class Cases:
    """The value of a fixture whose test is to run with each of them in turn."""

    by_name: dict[str, Callable[[], Any]]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    asked_for = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    over = {name: value for name, value in asked_for.items() if isinstance(value, Cases)}
    if not over:
        return None
    ((name, cases),) = over.items()
    for case, make in cases.by_name.items():
        try:
            pyfuncitem.obj(**asked_for | {name: make()})
        except Exception as error:
            error.add_note(f"{name}: {case}")
            raise
        if isinstance(patch := asked_for.get("monkeypatch"), pytest.MonkeyPatch):
            patch.undo()
    return True


def _workloads(*names: str) -> Cases:
    return Cases(
        {
            f"{composition.name}: {name}": partial(find, composition, name)
            for composition in COMPOSITIONS
            for name in names
            if _is_in(name, composition)
        }
    )


@pytest.fixture
def rendering() -> Cases:
    """Each way to put deploy/ together."""
    return Cases({each.name: partial(render, each) for each in COMPOSITIONS})


@pytest.fixture
def workload() -> Cases:
    """Each thing that makes pods."""
    return _workloads("fovea-serve", *JOBS, "trainjob.yaml")


@pytest.fixture
def job() -> Cases:
    """Each thing whose pods run to an end."""
    return _workloads(*JOBS)


@pytest.fixture
def training() -> Cases:
    return _workloads(*TRAINING)


@pytest.fixture
def whole_job() -> Cases:
    """Each Job that is done as a whole: one pod, or ranks that end together."""
    return _workloads("fovea-score", *TRAINING)


@pytest.fixture
def driver() -> Cases:
    return _workloads("fovea-score")


@pytest.fixture
def workers() -> Cases:
    return _workloads("fovea-score-work")


@pytest.fixture
def serving() -> Cases:
    return _workloads("fovea-serve")


@pytest.fixture
def cron() -> Cases:
    """The spec of each CronJob."""
    cron_jobs = _workloads("fovea-score", "fovea-score-work", "fovea-train", "fovea-retrain").by_name
    return Cases({name: partial(_spec_of, make) for name, make in cron_jobs.items()})


def _spec_of(make: Callable[[], Workload]) -> Manifest:
    spec: Manifest = make().manifest["spec"]
    return spec


def find(composition: Composition, name: str) -> Workload:
    return render(composition).pods(name)
