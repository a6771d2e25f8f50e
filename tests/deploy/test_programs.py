"""The manifests and the programs say the same."""

import os
from typing import Any

import pytest

from fovea.errors import ExitCode
from fovea.settings import load
from scorer.config import RunSettings
from server.config import HEALTH_PORT, METRICS_PORT, PORT, ServeSettings
from tests.deploy.manifests import JOB_NAME, Workload, named, pods_of
from trainer.config import ExportSettings, LrFindSettings, TrainSettings


def settings_of(pods: Workload, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings that the container's program reads from its arguments and variables."""
    for name in [name for name in os.environ if name.startswith("FOVEA_")]:
        monkeypatch.delenv(name)
    for name, value in pods.environment().items():
        monkeypatch.setenv(name, value)
    match [*pods.container["command"], *pods.container["args"]]:
        case ["python", "-m", "server", *options]:
            return load(ServeSettings, options, "server")
        case ["python", "-m", "scorer", "run", *options]:
            return load(RunSettings, options, "scorer run")
        case ["python", "-m", "trainer", "train", *options]:
            return load(TrainSettings, options, "trainer train", [LrFindSettings, ExportSettings])
        case other:
            raise AssertionError(f"{other} is no program of Fovea")


def test_program_takes_what_the_manifest_gives(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(workload, monkeypatch)


def test_all_programs_name_the_same_models(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(workload, monkeypatch).models == "s3://CHANGE-ME/models/pets"


def test_scoring_pods_of_one_job_share_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = pods_of(named("CronJob", "fovea-score"))
    assert settings_of(pods, monkeypatch).run_id == JOB_NAME


def test_training_pod_goes_on_with_the_run_of_the_one_before_it(
    training: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings_of(training, monkeypatch).run_id == JOB_NAME


def test_server_waits_for_its_first_model(serving: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(serving, monkeypatch).wait_for_model


def test_ports_are_those_that_the_server_listens_on(
    serving: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(serving, monkeypatch)
    ports = {port["name"]: port["containerPort"] for port in serving.container["ports"]}
    assert ports == {
        "grpc": settings.port,
        "metrics": settings.metrics_port,
        "health": settings.health_port,
    }
    assert ports == {"grpc": PORT, "metrics": METRICS_PORT, "health": HEALTH_PORT}


@pytest.mark.parametrize(
    ("probe", "service"), [("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", None)]
)
def test_probe_asks_the_health_port(serving: Workload, probe: str, service: str | None) -> None:
    asked = serving.container[probe]["grpc"]
    assert asked["port"] == HEALTH_PORT
    assert asked.get("service") == service


def test_pod_outlives_its_drain(serving: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(serving, monkeypatch)
    pre_stop_s = serving.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed_s = pre_stop_s + settings.drain_delay_s + settings.grace_s
    assert serving.pod["terminationGracePeriodSeconds"] > needed_s


def test_job_fails_at_once_on_what_cannot_heal(job: Workload) -> None:
    disruption, hopeless = job.job["podFailurePolicy"]["rules"]
    assert disruption == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    assert hopeless["action"] == "FailJob"
    assert hopeless["onExitCodes"] == {
        "containerName": job.container["name"],
        "operator": "In",
        "values": sorted([ExitCode.USAGE, ExitCode.BAD_DATA]),
    }
    assert job.pod["restartPolicy"] == "Never"
