"""deploy/triton: what holds for every pod of deploy/ holds for Triton's, container by container."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace

import pytest

from fovea.settings import load
from server.triton.config import PROGRAM, TritonSettings
from tests.deploy import test_network, test_pods, test_references, test_rendering
from tests.deploy.compositions import DEPLOY, ROOT, Composition
from tests.deploy.kubernetes_schemas import VERSIONS, validate
from tests.deploy.manifests import Manifest, Rendering, Workload, pods_of, render
from tests.deploy.shared_checks import OF_EVERY_POD, OF_EVERY_RENDERING
from tests.deploy.test_dockerfiles import BUILD_TOOLS, PROJECT, parse_file

TRITON = Composition("triton", ("base", "triton"))
"""On the cluster that deploy/base was applied to."""
ON_GPUS = Composition("triton+gpu", ("base", "triton"), ("gpu",))
WITH_VOLUME = Composition("triton+model-pvc", ("base", "triton"), ("model-pvc",))

CONTAINERS = ("repository", "triton", "follower")
PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}
"""Triton's own, where nothing else is said."""


def rendering() -> Rendering:
    return render(TRITON)


def pod() -> Manifest:
    spec: Manifest = rendering().named("Deployment", "fovea-triton")["spec"]["template"]["spec"]
    return spec


def container(name: str, composition: Composition = TRITON) -> Workload:
    """The pod as if it had this container alone, with the volumes that it mounts."""
    rendered = render(composition)
    whole = pods_of(rendered.named("Deployment", "fovea-triton"), rendered)
    (only,) = [one for one in (*whole.pod["initContainers"], *whole.pod["containers"]) if one["name"] == name]
    volumes = {volume["name"]: volume for volume in whole.pod["volumes"]}
    mounted = [volumes[mount["name"]] for mount in only["volumeMounts"]]
    rest = {key: value for key, value in whole.pod.items() if key != "initContainers"}
    spec = rest | {"containers": [only], "volumes": mounted}
    return replace(whole, template=whole.template | {"spec": spec})


OF_EVERY_CONTAINER = (
    *OF_EVERY_POD,
    test_pods.test_pod_is_restricted,
    test_pods.test_container_is_restricted,
)
OF_THE_PROGRAMS = (
    test_references.test_config_maps_are_there,
    test_references.test_secrets_are_read_only_where_they_exist,
    test_rendering.test_images_are_from_one_place_and_of_this_version,
)
OF_THE_RENDERING = (
    *OF_EVERY_RENDERING,
    test_rendering.test_nothing_needs_an_operator_that_is_not_opted_into,
)


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("check", OF_EVERY_CONTAINER, ids=lambda check: check.__name__)
def test_container_is_as_every_other(check: Callable[[Workload], None], name: str) -> None:
    check(container(name))


@pytest.mark.parametrize("name", ["repository", "follower"])
@pytest.mark.parametrize("check", OF_THE_PROGRAMS, ids=lambda check: check.__name__)
def test_container_of_fovea_is_as_every_other(check: Callable[[Workload], None], name: str) -> None:
    check(container(name))


@pytest.mark.parametrize("check", OF_THE_RENDERING, ids=lambda check: check.__name__)
def test_manifests_are_as_all_others(check: Callable[[Rendering], None]) -> None:
    check(rendering())


@pytest.mark.parametrize("composition", [TRITON, ON_GPUS, WITH_VOLUME], ids=lambda one: one.name)
@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_follow_the_schemas_of_kubernetes(composition: Composition, version: str) -> None:
    for manifest in render(composition).manifests:
        validate(json.dumps(manifest), version)


def test_no_container_is_left_out_here() -> None:
    named = [one["name"] for one in (*pod()["initContainers"], *pod()["containers"])]
    assert named == list(CONTAINERS)


@pytest.fixture
def settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TritonSettings:
    """What the program of the container makes of its arguments and variables."""
    return _settings(container(request.param), monkeypatch)


def _settings(pods: Workload, monkeypatch: pytest.MonkeyPatch) -> TritonSettings:
    for name, value in pods.environment().items():
        monkeypatch.setenv(name, value)
    words: list[str] = pods.container["command"] + pods.container["args"]
    assert words[:3] == ["python", "-m", "server.triton"]
    return load(TritonSettings, words[3:], PROGRAM)


@pytest.mark.parametrize("settings", ["repository", "follower"], indirect=True)
def test_model_is_laid_out_where_triton_looks(settings: TritonSettings) -> None:
    assert f"--model-repository={settings.repository}" in container("triton").container["args"]
    assert "repository" in {volume["name"] for volume in container("triton").pod["volumes"]}


@pytest.mark.parametrize("settings", ["follower"], indirect=True)
def test_follower_stays_and_looks_as_often_as_triton(settings: TritonSettings) -> None:
    assert settings.follow
    assert f"--repository-poll-secs={settings.watch_interval_s:.0f}" in container("triton").container["args"]


@pytest.mark.parametrize("settings", ["repository"], indirect=True)
def test_init_container_ends(settings: TritonSettings) -> None:
    assert not settings.follow


@pytest.mark.parametrize("settings", ["repository", "follower"], indirect=True)
def test_each_cpu_of_triton_has_a_process(settings: TritonSettings) -> None:
    limits = container("triton").container["resources"]["limits"]
    assert settings.provider == "cpu"
    assert settings.instances == int(limits["cpu"])


def test_triton_alone_has_the_gpu_and_the_model_is_laid_out_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    server = container("triton", ON_GPUS)
    assert server.container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert server.container["image"].endswith("/fovea-triton:0.1.0-gpu")
    assert [one["key"] for one in server.pod["tolerations"]] == ["nvidia.com/gpu"]
    for name in ("repository", "follower"):
        program = container(name, ON_GPUS)
        assert "nvidia.com/gpu" not in program.container["resources"]["limits"]
        assert _settings(program, monkeypatch).provider == "cuda"


def test_rollout_ends_where_there_is_one_gpu_in_all() -> None:
    spec = container("triton", ON_GPUS).manifest["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


@pytest.mark.parametrize("name", ["repository", "follower"])
def test_models_on_a_volume_are_read_alone(name: str) -> None:
    models = container(name, WITH_VOLUME).mounts["/models"]
    assert models["persistentVolumeClaim"]["claimName"] == "fovea-models"
    assert models["readOnly"]


def test_both_containers_of_fovea_say_the_same() -> None:
    assert container("repository").environment() == container("follower").environment()


def test_triton_reads_the_repository_and_fovea_writes_it() -> None:
    assert container("triton").mounts["/repository"]["readOnly"]
    assert not container("follower").mounts["/repository"]["readOnly"]


def test_triton_has_shared_memory_for_its_processes() -> None:
    assert container("triton").mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"


def test_pods_volumes_fit_into_its_containers_limits_together() -> None:
    places = [one["emptyDir"] for one in pod()["volumes"] if "medium" not in one["emptyDir"]]
    limits = [one["resources"]["limits"]["ephemeral-storage"] for one in pod()["containers"]]
    assert sum(map(_gibibytes, (place["sizeLimit"] for place in places))) <= sum(map(_gibibytes, limits))


def test_ports_are_tritons_and_let_in() -> None:
    server = container("triton")
    assert {port["name"]: port["containerPort"] for port in server.container["ports"]} == PORTS
    ports = rendering().named("Service", "fovea-triton")["spec"]["ports"]
    assert {port["targetPort"]: port["port"] for port in ports} == PORTS
    callers = {("TCP", PORTS[name], test_network.ANY_POD) for name in ("http", "grpc")}
    prometheus = {("TCP", PORTS["metrics"], test_network.MONITORING)}
    assert set(test_network.holes("ingress", server)) == callers | prometheus
    out = {("UDP", 53), ("TCP", 53), ("TCP", 443)}
    assert set(test_network.holes("egress", server)) == {(*way, test_network.ANYWHERE) for way in out}


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_triton_is_selected_alone(kind: str) -> None:
    spec = rendering().named(kind, "fovea-triton")["spec"]
    selector = spec["selector"].get("matchLabels", spec["selector"])
    assert selector.items() <= container("triton").labels.items()
    for other in rendering().of_kind("Deployment"):
        labels = other["spec"]["template"]["metadata"]["labels"]
        assert (selector.items() <= labels.items()) == (other["metadata"]["name"] == "fovea-triton")


@pytest.mark.parametrize(
    ("probe", "path"), [("startup", "live"), ("liveness", "live"), ("readiness", "ready")]
)
def test_probe_asks_tritons_health(probe: str, path: str) -> None:
    asked = container("triton").container[f"{probe}Probe"]["httpGet"]
    assert asked == {"path": f"/v2/health/{path}", "port": "http"}


def test_pod_outlives_its_drain() -> None:
    server = container("triton").container
    (exit_s,) = re.findall(r"--exit-timeout-secs=(\d+)", " ".join(server["args"]))
    assert pod()["terminationGracePeriodSeconds"] > server["lifecycle"]["preStop"]["sleep"]["seconds"] + int(
        exit_s
    )


def test_image_brings_fovea_and_what_it_needs_to_tritons_python() -> None:
    dockerfile = parse_file("triton", DEPLOY / "triton" / "Dockerfile")
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    copied = {name for line in dockerfile.all("COPY") for name in line.split()[:-1]}
    assert copied == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "fovea"} <= allowed
    (install,) = dockerfile.all("RUN")
    words = shlex.split(install.split("&&")[0])
    assert words[-2:] == [".[programs]", "${ONNXRUNTIME}"]
    assert "--constraint constraints.txt" in install
    assert not BUILD_TOOLS.search(install)


def test_image_runs_as_the_pod_does() -> None:
    dockerfile = parse_file("triton", DEPLOY / "triton" / "Dockerfile")
    assert dockerfile.all("FROM") == ["${BASE_IMAGE}"]
    assert dockerfile.only("USER") == "10001:10001"
    assert dockerfile.environment["ORT_DISABLE_TELEMETRY"] == "1"
    assert f"VERSION={PROJECT['version']}" in dockerfile.all("ARG")
    assert container("triton").container["image"] == f"registry.example.com/fovea-triton:{PROJECT['version']}"


def _gibibytes(quantity: str) -> int:
    assert quantity.endswith("Gi")
    return int(quantity.removesuffix("Gi"))
