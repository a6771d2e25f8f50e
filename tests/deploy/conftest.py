import pytest

from tests.deploy.manifests import Workload, lone_job, named, pods_of

TRAINING = ("fovea-train", "job.yaml")
CRON_JOBS = ("fovea-score", "fovea-score-work", "fovea-train")
WHOLE = ("fovea-score", *TRAINING)
JOBS = (*WHOLE, "fovea-score-work")


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


@pytest.fixture(params=WHOLE)
def whole_job(request: pytest.FixtureRequest) -> Workload:
    """Each Job of one pod, that is done when the pod is."""
    return find(request.param)


@pytest.fixture
def driver() -> Workload:
    return find("fovea-score")


@pytest.fixture
def workers() -> Workload:
    return find("fovea-score-work")


@pytest.fixture
def serving() -> Workload:
    return find("fovea-serve")


def find(name: str) -> Workload:
    if name == "job.yaml":
        return pods_of(lone_job())
    return pods_of(named("CronJob" if name in CRON_JOBS else "Deployment", name))
