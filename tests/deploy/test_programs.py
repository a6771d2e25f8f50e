"""The manifests and the programs say the same."""

import pytest

from fovea.errors import ExitCode
from scorer.cluster.api import PATIENCE_S
from scorer.config import WorkSettings
from server.config import HEALTH_PORT, HTTP_PORT, METRICS_PORT, PORT
from tests.deploy.manifests import JOB_NAME, Rendering, Workload
from tests.deploy.settings import WORKERS, settings_of


def test_program_takes_what_the_manifest_gives(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(workload, monkeypatch)


def test_all_programs_name_the_same_models(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    served = workload.rendering.pods("fovea-serve").environment()["FOVEA_SERVE_MODELS"]
    # Workers find the model in the plan.
    named = getattr(settings_of(workload, monkeypatch), "models", served)
    assert named in (served, (served,))


def test_drivers_of_one_job_share_its_run(driver: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(driver, monkeypatch).run_id == JOB_NAME


def test_driver_needs_no_gpu_for_its_check(driver: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(driver, monkeypatch).provider == "cpu"


def test_driver_reads_the_workers_template(driver: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = driver.rendering.pods("fovea-score-work").manifest
    assert settings_of(driver, monkeypatch).job_template == f"cronjob/{workers['metadata']['name']}"
    assert workers["spec"]["suspend"] is True


def test_workers_are_told_their_share(workers: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(workers, monkeypatch)
    assert isinstance(settings, WorkSettings)
    assert (settings.run_id, settings.completions) == (JOB_NAME, WORKERS)


def test_driver_outlives_its_workers_and_an_api_server_that_is_away(rendering: Rendering) -> None:
    driver, workers = (rendering.pods(name).job for name in ("fovea-score", "fovea-score-work"))
    assert driver["activeDeadlineSeconds"] > workers["activeDeadlineSeconds"] + PATIENCE_S


@pytest.mark.parametrize("name", ["fovea-score", "fovea-score-work"])
def test_scorer_has_time_to_end(rendering: Rendering, name: str) -> None:
    # At SIGTERM it drops what it does, and leaves; the default of Kubernetes is enough.
    assert rendering.pods(name).pod["terminationGracePeriodSeconds"] >= 30


def test_bad_data_fails_one_index_and_wrong_settings_all(workers: Workload) -> None:
    disruption, bad_data, usage = workers.job["podFailurePolicy"]["rules"]
    assert disruption == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    for rule, action, code in (
        (bad_data, "FailIndex", ExitCode.BAD_DATA),
        (usage, "FailJob", ExitCode.USAGE),
    ):
        assert rule["action"] == action
        assert rule["onExitCodes"]["values"] == [code]
        assert rule["onExitCodes"]["containerName"] == workers.container["name"]
    assert workers.job["backoffLimitPerIndex"] >= 1
    assert workers.job["podReplacementPolicy"] == "Failed"


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
        "http": settings.http_port,
        "metrics": settings.metrics_port,
        "health": settings.health_port,
    }
    assert ports == {"grpc": PORT, "http": HTTP_PORT, "metrics": METRICS_PORT, "health": HEALTH_PORT}


@pytest.mark.parametrize(
    ("probe", "service"), [("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", None)]
)
def test_probe_asks_the_health_port(serving: Workload, probe: str, service: str | None) -> None:
    asked = serving.container[probe]["grpc"]
    assert asked["port"] == HEALTH_PORT
    assert asked.get("service") == service


def test_server_has_five_minutes_to_come_up(serving: Workload) -> None:
    probe = serving.container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 300


def test_calls_still_come_while_nodes_take_a_pod_out_of_its_service(serving: Workload) -> None:
    assert serving.container["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5


def test_callers_hear_of_a_new_server_before_an_old_one_goes(serving: Workload) -> None:
    # gRPC in Go, Java and C++ asks DNS every 30 seconds at most.
    assert 30 <= serving.manifest["spec"]["minReadySeconds"] < 600


def test_training_has_time_to_save_a_checkpoint(training: Workload) -> None:
    assert training.pod["terminationGracePeriodSeconds"] >= 120


def test_pod_outlives_its_drain(serving: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(serving, monkeypatch)
    pre_stop_s = serving.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed_s = pre_stop_s + settings.drain_delay_s + settings.grace_s
    assert serving.pod["terminationGracePeriodSeconds"] > needed_s


def test_job_fails_at_once_on_what_cannot_heal(whole_job: Workload) -> None:
    job = whole_job
    disruption, permanent, *others = job.job["podFailurePolicy"]["rules"]
    assert bool(others) == (job.job.get("completionMode") == "Indexed")
    assert disruption == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    assert permanent["action"] == "FailJob"
    assert permanent["onExitCodes"] == {
        "containerName": job.container["name"],
        "operator": "In",
        "values": sorted([ExitCode.USAGE, ExitCode.BAD_DATA]),
    }
    assert job.pod["restartPolicy"] == "Never"
