import pytest

from tests.deploy.manifests import Workload, lone_job, named, pods_of

TRAINING = ("fovea-train", "job.yaml")
JOBS = ("fovea-score", *TRAINING)


@pytest.fixture(name="workload", params=["fovea-serve", *JOBS])
def any_workload(request: pytest.FixtureRequest) -> Workload:
    """Each thing that makes pods."""
    return find(request.param)


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest) -> Workload:
    """Each thing whose pods run to an end."""
    return find(request.param)


@pytest.fixture(params=TRAINING)
def training(request: pytest.FixtureRequest) -> Workload:
    return find(request.param)


@pytest.fixture
def serving() -> Workload:
    return find("fovea-serve")


def find(name: str) -> Workload:
    if name == "job.yaml":
        return pods_of(lone_job())
    return pods_of(named("CronJob" if name in JOBS else "Deployment", name))
