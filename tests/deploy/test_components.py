"""What each component brings."""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pytest

from scorer.config import DriveSettings
from server.config import HEALTH_PORT
from server.models.captures import FLUSH_S
from tests.deploy.compositions import DEPLOY
from tests.deploy.manifests import Rendering, Workload, is_training
from tests.deploy.settings import settings_of
from tests.markdown import Page

GPU = "nvidia.com/gpu"


def has_gpu(workload: Workload) -> bool:
    """Everything that computes; the scoring driver plans and commits."""
    return "gpu" in workload.components and workload.container["name"] != "driver"


def test_every_pod_that_computes_has_a_gpu_of_its_own(workload: Workload) -> None:
    resources = workload.container["resources"]
    asked = (resources["requests"].get(GPU), resources["limits"].get(GPU))
    assert asked == (("1", "1") if has_gpu(workload) else (None, None))


def test_pod_with_a_gpu_may_run_on_its_tainted_node(workload: Workload) -> None:
    tolerated = {one["key"]: one for one in workload.pod.get("tolerations", [])}
    if has_gpu(workload):
        assert tolerated == {GPU: {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}}
    else:
        assert not tolerated


def test_pod_with_a_gpu_does_not_fall_back_to_the_cpu(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(workload, monkeypatch)
    device = settings.device if is_training(workload) else settings.provider
    otherwise = "cpu" if workload.container["name"] == "driver" else "auto"
    assert device == ("cuda" if has_gpu(workload) else otherwise)


def test_rollout_ends_where_there_is_one_gpu_in_all(rendering: Rendering) -> None:
    if "gpu" in rendering.composition.components:
        strategy = rendering.pods("fovea-serve").manifest["spec"]["strategy"]["rollingUpdate"]
        for servers in _numbers_of_servers(rendering):
            assert _rollout_ends(servers, strategy["maxSurge"], strategy["maxUnavailable"], gpus=1)


def test_a_rollout_that_surges_would_wait_for_ever() -> None:
    assert not _rollout_ends(1, surge=1, unavailable=0, gpus=1)
    assert not _rollout_ends(2, surge=0, unavailable=1, gpus=1)
    assert _rollout_ends(2, surge=1, unavailable=0, gpus=3)


def test_rollout_without_gpus_keeps_capacity(rendering: Rendering) -> None:
    if "gpu" not in rendering.composition.components:
        strategy = rendering.pods("fovea-serve").manifest["spec"]["strategy"]["rollingUpdate"]
        assert strategy == {"maxSurge": 1, "maxUnavailable": 0}


def test_tls_files_are_those_of_the_mounted_secret(
    serving: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(serving, monkeypatch)
    if "tls" in serving.components:
        files = [PurePosixPath(settings.tls_cert), PurePosixPath(settings.tls_key)]
        assert [file.name for file in files] == ["tls.crt", "tls.key"]
        assert {str(file.parent) for file in files} <= set(serving.mounts)
        assert serving.mounts[str(files[0].parent)]["secret"]["defaultMode"] == 0o440
    else:
        assert settings.tls_cert is None


def test_driver_trusts_the_secrets_authority_and_gets_no_key_of_the_servers(
    driver: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(driver, monkeypatch)
    if "tls" not in driver.components:
        assert settings.verify_tls_ca is None
        return
    ca = PurePosixPath(settings.verify_tls_ca)
    secret = driver.mounts[str(ca.parent)]["secret"]
    assert (secret["secretName"], secret["optional"]) == ("fovea-tls", True)
    assert secret["items"] == [{"key": "ca.crt", "path": ca.name}]
    assert driver.mounts["/etc/fovea/tls-client"]["secret"]["optional"] is True


def test_drivers_own_certificate_is_where_the_readme_says(
    driver: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "tls" in driver.components:
        readme = Page.read(DEPLOY / "components/tls/README.md")
        verify = [code for code in readme.code if code.startswith("FOVEA_SCORE_VERIFY_TLS_") and "=" in code]
        given = dict(code.split("=", 1) for code in verify)
        assert {PurePosixPath(path).name for path in given.values()} == {"tls.crt", "tls.key"}
        assert {str(PurePosixPath(path).parent) for path in given.values()} <= set(driver.mounts)
        assert {name.removeprefix("FOVEA_SCORE_").lower() for name in given} <= set(
            DriveSettings.model_fields
        )


def test_probes_stay_on_the_port_without_tls(serving: Workload) -> None:
    probes = [
        serving.container[f"{kind}Probe"]["grpc"]["port"] for kind in ("startup", "liveness", "readiness")
    ]
    assert probes == [HEALTH_PORT] * 3


def test_service_says_what_its_port_speaks(rendering: Rendering) -> None:
    grpc, http, _ = rendering.named("Service", "fovea-serve")["spec"]["ports"]
    is_plain = "tls" not in rendering.composition.components
    assert grpc.get("appProtocol") == ("kubernetes.io/h2c" if is_plain else None)
    assert http["appProtocol"] == ("http" if is_plain else "https")


def test_models_on_a_volume_are_written_by_the_trainer_alone(workload: Workload) -> None:
    if "model-pvc" in workload.components:
        models = workload.mounts["/models"]
        assert models["persistentVolumeClaim"]["claimName"] == _claim_of_models(workload.rendering)
        assert models["readOnly"] == (not is_training(workload))
    else:
        assert "/models" not in workload.mounts


def test_claim_of_the_models_can_be_mounted_on_several_nodes(rendering: Rendering) -> None:
    if "model-pvc" in rendering.composition.components:
        claim = rendering.named("PersistentVolumeClaim", _claim_of_models(rendering))["spec"]
        is_local = rendering.composition.overlay == "local-cpu"
        assert claim["accessModes"] == ["ReadWriteOnce" if is_local else "ReadWriteMany"]


def test_prometheus_is_sent_to_a_port_that_it_may_reach(rendering: Rendering) -> None:
    for monitor in rendering.of_kind("ServiceMonitor"):
        (endpoint,) = monitor["spec"]["endpoints"]
        service = rendering.named("Service", "fovea-serve")
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        (let_in,) = rendering.named("NetworkPolicy", "allow-prometheus")["spec"]["ingress"]
        assert let_in["ports"] == [{"port": ports[endpoint["port"]], "protocol": "TCP"}]


def test_no_server_is_scraped_twice(rendering: Rendering) -> None:
    for monitor in rendering.of_kind("ServiceMonitor"):
        labels, port = monitor["spec"]["selector"]["matchLabels"], monitor["spec"]["endpoints"][0]["port"]
        scraped = [
            service["metadata"]["name"]
            for service in rendering.of_kind("Service")
            if labels.items() <= service["metadata"]["labels"].items()
            and port in {one["name"] for one in service["spec"]["ports"]}
        ]
        assert scraped == ["fovea-serve"]


def test_spans_go_to_a_collector_that_may_be_reached_and_tell_their_pod(workload: Workload) -> None:
    environment = workload.environment()
    told = {name: value for name, value in environment.items() if name.startswith("OTEL_")}
    if "tracing" not in workload.components:
        assert told == {}
        return
    endpoint = urlsplit(told["OTEL_EXPORTER_OTLP_ENDPOINT"])
    (rule,) = workload.rendering.named("NetworkPolicy", "allow-traces")["spec"]["egress"]
    (peer,) = rule["to"]
    namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert endpoint.hostname == f"otel-collector.{namespace}"
    assert {"port": endpoint.port, "protocol": "TCP"} in rule["ports"]
    assert told["OTEL_RESOURCE_ATTRIBUTES"] == f"k8s.pod.name={environment['POD_NAME']}"


def test_servers_capture_where_the_component_says_and_nowhere_without_it(
    serving: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(serving, monkeypatch)
    told = (settings.capture, settings.capture_retention_days)
    assert told == (("s3://CHANGE-ME/captures", 30) if "capture" in serving.components else (None, None))


def test_nights_capture_where_the_servers_do(driver: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = settings_of(driver, monkeypatch).capture
    assert captures == ("s3://CHANGE-ME/captures" if "capture" in driver.components else None)


def test_retraining_is_on_what_servers_and_nights_capture(
    rendering: Rendering, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "capture" in rendering.composition.components and rendering.composition.folders != ("base",):
        pods = rendering.pods("fovea-retrain")
        settings = settings_of(pods, monkeypatch)
        assert settings.captures == (rendering.pods("fovea-serve").environment()["FOVEA_SERVE_CAPTURE"],)
        assert settings.promote == "better"


def test_retraining_is_on_the_trainings_images_captures_and_corrections(
    training: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(training, monkeypatch)
    assert settings.source == training.environment()["FOVEA_TRAIN_DATA"]
    again = training.manifest["metadata"].get("name") == "fovea-retrain"
    assert (len(settings.captures), len(settings.corrections)) == ((1, 1) if again else (0, 0))
    assert settings.promote == ("better" if again else None)


def test_a_server_has_time_to_write_what_it_captured(
    serving: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(serving, monkeypatch)
    stopping = serving.container["lifecycle"]["preStop"]["sleep"]["seconds"] + settings.drain_delay_s
    longest = stopping + settings.grace_s + FLUSH_S
    assert longest < serving.pod["terminationGracePeriodSeconds"]


def _claim_of_models(rendering: Rendering) -> str:
    return "fovea-models-local" if rendering.composition.overlay == "local-cpu" else "fovea-models"


def _numbers_of_servers(rendering: Rendering) -> range:
    """How many there may be at a time."""
    autoscalers = rendering.of_kind("HorizontalPodAutoscaler")
    if not autoscalers:
        return range(1, 2)
    return range(autoscalers[0]["spec"]["minReplicas"], autoscalers[0]["spec"]["maxReplicas"] + 1)


def _rollout_ends(servers: int, surge: int, unavailable: int, gpus: int) -> bool:
    """Plays the Deployment controller. Pods that find no GPU are pending; such old ones go first."""
    old = min(servers, gpus)
    while old:
        new = min(servers, servers + surge - old, gpus - old)
        if old + new - 1 < servers - unavailable:
            return False
        old -= 1
    return True
