"""deploy/kserve is what KServe takes, and its pods are the servers of deploy/base."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import yaml

from server.config import HTTP_PORT, METRICS_PORT, PORT
from tests.deploy import test_network, test_references, test_rendering
from tests.deploy.compositions import DEPLOY, Composition
from tests.deploy.kubernetes_schemas import VERSIONS, validate
from tests.deploy.manifests import Manifest, Rendering, Workload, named, pods_of, render
from tests.deploy.settings import settings_of
from tests.deploy.shared_checks import OF_EVERY_POD, OF_EVERY_RENDERING
from tests.environments import environment

KSERVE: Final = Composition("kserve", ("base", "kserve"))
"""On the cluster that deploy/base was applied to."""
FIELDS: Final = Path(__file__).with_name("kserve_fields.py")
MOUNTED: Final = "/mnt/models"
"""Where KServe puts a model."""

SAME: Final = (
    "command",
    "image",
    "startupProbe",
    "livenessProbe",
    "readinessProbe",
    "lifecycle",
    "resources",
    "terminationMessagePolicy",
)
"""Of a container, as in deploy/base."""


def runtime() -> Manifest:
    return render(KSERVE).named("ServingRuntime", "fovea")


def service() -> Manifest:
    manifest: Manifest = yaml.safe_load((DEPLOY / "kserve/inferenceservice.yaml").read_text())
    return manifest


def pods(**model: object) -> Workload:
    """As KServe makes them in its mode Standard of the InferenceService, whose model has these fields, too.

    Variables go by their names, and what is of the pod is the InferenceService's.
    """
    spec, predictor = copy.deepcopy(runtime()["spec"]), service()["spec"]["predictor"]
    (container,) = spec["containers"]
    given = predictor["model"] | model
    variables = {one["name"]: one for one in (*container["env"], *given.get("env", []))}
    mount = {"name": "kserve-provision-location", "mountPath": MOUNTED, "readOnly": True}
    container |= {
        "args": [],
        "env": [*variables.values()],
        "volumeMounts": [*container["volumeMounts"], mount],
    }
    provided = {"name": mount["name"], "emptyDir": {"sizeLimit": "512Mi"}}  # KServe's own has no limit
    own = {name: value for name, value in predictor.items() if name not in ("model", *_OF_SCALING)}
    pod = {**own, "containers": [container], "volumes": [*spec["volumes"], provided]}
    return Workload(runtime(), {"metadata": {"labels": spec["labels"]}, "spec": pod}, render(KSERVE))


_OF_SCALING = ("minReplicas", "maxReplicas")

OF_THE_PODS = (
    *OF_EVERY_POD,
    test_references.test_secrets_are_read_only_where_they_exist,
    test_rendering.test_images_are_from_one_place_and_of_this_version,
)


@pytest.mark.parametrize("check", OF_THE_PODS, ids=lambda check: check.__name__)
def test_pods_are_as_all_others(check: Callable[[Workload], None]) -> None:
    check(pods())


@pytest.mark.parametrize("check", OF_EVERY_RENDERING, ids=lambda check: check.__name__)
def test_manifests_are_as_all_others(check: Callable[[Rendering], None]) -> None:
    check(Rendering(KSERVE, (*render(KSERVE).manifests, service())))


@pytest.mark.parametrize("version", VERSIONS)
def test_pods_follow_the_schemas_of_kubernetes(version: str) -> None:
    labels = pods().labels
    spec = {"selector": {"matchLabels": labels}, "template": pods().template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "pets"}, "spec": spec}
    validate(json.dumps(deployment), version)
    for policy in render(KSERVE).of_kind("NetworkPolicy"):
        validate(json.dumps(policy), version)


def test_the_server_is_that_of_the_base() -> None:
    base, own = pods_of(named("Deployment", "fovea-serve"), render(KSERVE)), pods()
    for field in SAME:
        assert own.container[field] == base.container[field], field
    for field in ("terminationGracePeriodSeconds", "enableServiceLinks", "automountServiceAccountToken"):
        assert own.pod[field] == base.pod[field], field
    of_pod = {name: value for name, value in base.pod["securityContext"].items() if name != "fsGroup"}
    assert own.container["securityContext"] == base.container["securityContext"] | of_pod
    assert [one for one in base.pod["volumes"] if one not in own.pod["volumes"]] == []
    scaling = render(KSERVE).named("HorizontalPodAutoscaler", "fovea-serve")["spec"]
    predictor = service()["spec"]["predictor"]
    assert {name: scaling[name] for name in _OF_SCALING} == {name: predictor[name] for name in _OF_SCALING}


def test_the_model_is_where_kserve_puts_it_or_where_the_service_says(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(pods(), monkeypatch)
    assert settings.models == (MOUNTED,)
    assert [port["containerPort"] for port in pods().container["ports"]] == [
        settings.http_port,
        settings.port,
    ]
    bucket = {"name": "FOVEA_SERVE_MODELS", "value": "s3://models/pets"}
    assert settings_of(pods(env=[bucket]), monkeypatch).models == ("s3://models/pets",)


def test_the_runtime_is_chosen_for_its_format_and_speaks_both_protocols() -> None:
    (known,) = runtime()["spec"]["supportedModelFormats"]
    asked = service()["spec"]["predictor"]["model"]["modelFormat"]
    assert known["autoSelect"]
    assert asked.items() <= known.items()
    assert runtime()["spec"]["protocolVersions"] == ["v2", "grpc-v2"]
    (container,) = runtime()["spec"]["containers"]
    assert container["name"] == "kserve-container"  # which KServe knows it by
    assert [port["name"] for port in container["ports"]] == ["http1", "h2c"]


def test_callers_and_prometheus_reach_the_pods_and_services_of_the_base_do_not_call_them() -> None:
    anybody, monitoring = test_network.ANY_POD, test_network.MONITORING
    expected = {("TCP", PORT, anybody), ("TCP", HTTP_PORT, anybody), ("TCP", METRICS_PORT, monitoring)}
    assert set(test_network.holes("ingress", pods())) == expected
    for each in render(KSERVE).of_kind("Service"):
        assert not each["spec"]["selector"].items() <= pods().labels.items()
    annotations = runtime()["spec"]["annotations"]
    assert annotations["prometheus.kserve.io/port"] == str(METRICS_PORT)


@pytest.mark.slow
def test_kserves_own_models_know_every_field(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", "kserve==0.21.0")
    made_up = copy.deepcopy(runtime())
    made_up["spec"]["securityContext"] = {}  # which is of the pod
    manifests = json.dumps([runtime(), service(), made_up])
    looked = subprocess.run(
        [python, "-P", FIELDS], input=manifests, capture_output=True, text=True, check=False
    )
    assert looked.returncode == 0, looked.stderr
    assert json.loads(looked.stdout) == ["ServingRuntime.spec.securityContext"]
