"""What is rendered is what Kubernetes takes."""

import copy
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from tests.deploy.compositions import COMPONENTS, COMPOSITIONS, DEPLOY, NOT_WITH, PLAIN, ROOT, read
from tests.deploy.kubernetes_schemas import VERSIONS, validate
from tests.deploy.manifests import (
    MAKERS_OF_PODS,
    Rendering,
    Workload,
    is_training,
    lone_job,
    named,
    pods_of,
    render,
)
from tests.markdown import Page
from tests.scorer.fake_kubernetes.admission import spec_problems

OF_OPERATORS = {path.stem: path for path in (Path(__file__).parent / "schemas").iterdir()}
"""Kinds that a cluster knows once their operator is there -> their schema."""

KINDS = {
    "base": {
        *("Namespace", "NetworkPolicy", "ConfigMap", "Deployment", "Service"),
        *("HorizontalPodAutoscaler", "PodDisruptionBudget", "CronJob"),
        *("ServiceAccount", "Role", "RoleBinding"),
    },
    "train": {"CronJob", "PersistentVolumeClaim", "ConfigMap"},
    "monitoring": {"ServiceMonitor", "PrometheusRule", "ConfigMap"},
    "kubeflow": {"TrainingRuntime", "NetworkPolicy", "PersistentVolumeClaim"},
    "model-pvc": {"PersistentVolumeClaim"},
    "multi-node-train": {"Service", "NetworkPolicy", "PersistentVolumeClaim"},
    "overlays/local-cpu": {"PersistentVolumeClaim"},
}


def test_every_kind_is_rendered(rendering: Rendering) -> None:
    parts = (*rendering.composition.folders, *rendering.composition.components)
    expected = set().union(*(KINDS.get(part, set()) for part in parts))
    if rendering.composition.overlay:
        expected |= KINDS["base"] | KINDS["train"]
    if rendering.composition.overlay == "local-cpu":
        expected -= {"HorizontalPodAutoscaler"}
    if rendering.composition == PLAIN:
        expected |= {"Job"}
    assert {manifest["kind"] for manifest in rendering.manifests} == expected


def test_every_component_is_in_some_rendering_of_every_overlay() -> None:
    for overlay in ("gpu", "local-cpu"):
        choices = [composition.components for composition in COMPOSITIONS if composition.overlay == overlay]
        assert set().union(*choices) == set(COMPONENTS) - set(NOT_WITH.get(overlay, ()))


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_follow_the_schemas_of_kubernetes(rendering: Rendering, version: str) -> None:
    for manifest in rendering.manifests:
        if manifest["kind"] not in OF_OPERATORS:
            validate(json.dumps(manifest), version)


def test_manifests_follow_the_schemas_of_the_operators(rendering: Rendering) -> None:
    for manifest in rendering.manifests:
        if manifest["kind"] in OF_OPERATORS:
            jsonschema.validate(manifest, json.loads(OF_OPERATORS[manifest["kind"]].read_text()))


def test_jobs_pass_the_checks_that_schemas_do_not_know(job: Workload) -> None:
    assert list(spec_problems(job.job)) == []


def test_nothing_needs_an_operator_that_is_not_opted_into(rendering: Rendering) -> None:
    kinds = {manifest["kind"] for manifest in rendering.manifests}
    brought = set().union(*(KINDS.get(name, set()) for name in rendering.composition.components))
    assert kinds & set(OF_OPERATORS) == brought & set(OF_OPERATORS)


def test_yaml_is_tidy() -> None:
    command = [sys.executable, "-m", "yamllint", "--strict", "-c", str(DEPLOY / ".yamllint"), str(DEPLOY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_every_manifest_lies_in_a_kustomization_or_is_created_by_hand() -> None:
    created = ("train/job.yaml", "components/kubeflow/trainjob.yaml", "kserve/inferenceservice.yaml")
    by_hand = [DEPLOY / name for name in created]
    for path in DEPLOY.rglob("*.yaml"):
        if path.name != "kustomization.yaml" and path not in by_hand:
            assert path.name in _named_in(path.parent), path


def test_every_component_says_what_it_is_for() -> None:
    for name in COMPONENTS:
        assert Page.read(DEPLOY / "components" / name / "README.md").headings[0] == name


def test_nothing_is_there_twice(rendering: Rendering) -> None:
    names = [(one["kind"], one["metadata"].get("name")) for one in rendering.manifests]
    assert len(names) == len(set(names))


def test_everything_is_in_the_namespace(rendering: Rendering) -> None:
    for manifest in rendering.manifests:
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "fovea"


def test_everything_is_labelled_as_a_part_of_fovea(rendering: Rendering) -> None:
    for manifest in rendering.manifests:
        assert manifest["metadata"]["labels"]["app.kubernetes.io/part-of"] == "fovea"


def test_every_pod_says_what_it_is(workload: Workload) -> None:
    assert {f"app.kubernetes.io/{label}" for label in ("name", "component", "part-of")} <= set(
        workload.labels
    )


def test_images_are_from_one_place_and_of_this_version(workload: Workload) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    registry, _, image = workload.container["image"].rpartition("/")
    is_local = workload.rendering.composition.overlay == "local-cpu"
    assert registry == ("" if is_local else "registry.example.com")
    serve = f"fovea-serve:{version}-gpu" if "gpu" in workload.components else f"fovea-serve:{version}"
    assert image == (f"fovea-train:{version}" if is_training(workload) else serve)


def test_lone_job_is_the_template_of_the_cron_job() -> None:
    """But that it holds the values of params.env itself, for nothing would give it the ConfigMap's name."""
    template = named("CronJob", "fovea-train")["spec"]["jobTemplate"]["spec"]
    (parameters,) = [
        one
        for one in render().of_kind("ConfigMap")
        if one["metadata"]["name"].startswith("fovea-train-params")
    ]
    container = copy.deepcopy(pods_of(named("CronJob", "fovea-train")).container)
    container["envFrom"] = [one for one in container["envFrom"] if "configMapRef" not in one]
    container["env"] = [{"name": n, "value": v} for n, v in parameters["data"].items()] + container["env"]
    own = copy.deepcopy(lone_job()["spec"])
    own["template"]["spec"]["containers"][0]["env"].sort(key=lambda one: str(one["name"]))
    container["env"].sort(key=lambda one: str(one["name"]))
    wanted = copy.deepcopy(template)
    wanted["template"]["spec"]["containers"] = [container]
    assert own == wanted


def test_retraining_is_a_training_but_for_its_data_and_who_may_be_the_latest() -> None:
    trains, retrains = (copy.deepcopy(named("CronJob", f"fovea-{name}")) for name in ("train", "retrain"))
    container = pods_of(retrains).container
    sources = ("$(FOVEA_TRAIN_DATA)", "$(RETRAIN_CAPTURES)", "$(RETRAIN_CORRECTIONS)")
    assert container["args"] == ["train", *(word for source in sources for word in ("--data", source))]
    own = {one["name"]: one.get("value") for one in container["env"]}
    container["args"], container["env"] = ["train"], container["env"][3:]
    assert list(own)[:3] == ["RETRAIN_CAPTURES", "RETRAIN_CORRECTIONS", "FOVEA_TRAIN_PROMOTE"]
    trains["metadata"], trains["spec"]["schedule"] = retrains["metadata"], retrains["spec"]["schedule"]
    assert retrains == trains


def test_no_pods_but_those_that_these_tests_look_at(rendering: Rendering) -> None:
    makers = {m["metadata"].get("name") for m in rendering.manifests if m["kind"] in MAKERS_OF_PODS}
    kubeflow = "kubeflow" in rendering.composition.components
    training = {"fovea-train"} if kubeflow else set[str]()
    if rendering.composition.folders != ("base",):
        training |= {"fovea-train", "fovea-retrain"}
    lone = {None} if rendering.composition == PLAIN else set()
    assert makers == {"fovea-serve", "fovea-score", "fovea-score-work"} | training | lone


def test_pods_hold_one_container_each(rendering: Rendering) -> None:
    for manifest in rendering.manifests:
        if manifest["kind"] in MAKERS_OF_PODS:
            pod = pods_of(manifest, rendering).pod
            assert len(pod["containers"]) == 1
            assert "initContainers" not in pod


def _named_in(folder: Path) -> set[str]:
    kustomization = read(folder)
    return {
        *kustomization.get("resources", []),
        *kustomization.get("configurations", []),
        *(patch["path"] for patch in kustomization.get("patches", [])),
    }
