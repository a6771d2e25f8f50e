"""What is rendered is what Kubernetes takes."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.deploy.manifests import (
    DEPLOY,
    FOLDERS,
    MAKERS_OF_PODS,
    ROOT,
    Workload,
    everything,
    lone_job,
    named,
    pods_of,
    render,
)
from tests.scorer.fake_kubernetes.admission import spec_problems

OLDEST = "1.31"
"""podFailurePolicy and unhealthyPodEvictionPolicy are stable since, and preStop's sleep is on by default."""

KINDS = {
    "base": {
        *("Namespace", "NetworkPolicy", "ConfigMap", "Deployment", "Service"),
        *("HorizontalPodAutoscaler", "PodDisruptionBudget", "CronJob"),
        *("ServiceAccount", "Role", "RoleBinding"),
    },
    "train": {"CronJob", "PersistentVolumeClaim", "ConfigMap"},
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_kind_is_rendered(folder: str) -> None:
    assert {manifest["kind"] for manifest in render(folder)} == KINDS[folder]


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_manifests_follow_the_schemas_of_kubernetes(version: str) -> None:
    for manifest in everything():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_jobs_pass_the_checks_that_schemas_do_not_know(job: Workload) -> None:
    assert list(spec_problems(job.job)) == []


def test_an_overlays_image_and_patch_reach_the_workers(tmp_path: Path) -> None:
    patch = """
      - target: {kind: CronJob, name: fovea-score-work}
        patch: |-
          - op: add
            path: /spec/jobTemplate/spec/template/spec/containers/0/resources/limits/nvidia.com~1gpu
            value: 1
    """
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(DEPLOY / "base", tmp_path)],
        "images": [{"name": "registry.example.com/fovea-serve", "newName": "here/ours", "newTag": "gpu"}],
        "patches": yaml.safe_load(patch),
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    pods = {m["metadata"]["name"]: pods_of(m) for m in render(str(tmp_path)) if m["kind"] == "CronJob"}
    assert {of.container["image"] for of in pods.values()} == {"here/ours:gpu"}
    limits = {name: of.container["resources"]["limits"] for name, of in pods.items()}
    assert "nvidia.com/gpu" in limits["fovea-score-work"]
    assert "nvidia.com/gpu" not in limits["fovea-score"]


def test_yaml_is_tidy() -> None:
    command = [sys.executable, "-m", "yamllint", "--strict", "-c", DEPLOY / ".yamllint", DEPLOY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_every_manifest_lies_in_a_kustomization_or_is_the_lone_job() -> None:
    for path in DEPLOY.rglob("*.yaml"):
        if path.name != "kustomization.yaml" and path != DEPLOY / "train/job.yaml":
            resources = yaml.safe_load((path.parent / "kustomization.yaml").read_text())["resources"]
            assert path.name in resources, path


def test_everything_is_in_the_namespace() -> None:
    for manifest in everything():
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == named("Namespace", "fovea")["metadata"]["name"]


def test_everything_is_labelled_as_a_part_of_fovea() -> None:
    for manifest in everything():
        assert manifest["metadata"]["labels"]["app.kubernetes.io/part-of"] == "fovea"


def test_every_pod_says_what_it_is(workload: Workload) -> None:
    assert {f"app.kubernetes.io/{label}" for label in ("name", "component", "part-of")} <= set(
        workload.labels
    )


def test_images_are_from_one_place_and_of_this_version(workload: Workload) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    registry, _, image = workload.container["image"].rpartition("/")
    assert registry == "registry.example.com"
    assert image in {f"fovea-serve:{version}", f"fovea-train:{version}"}


def test_lone_job_is_the_template_of_the_cron_job() -> None:
    assert lone_job()["spec"] == named("CronJob", "fovea-train")["spec"]["jobTemplate"]["spec"]


def test_no_pods_but_those_that_these_tests_look_at() -> None:
    makers = {m["metadata"].get("name") for m in everything() if m["kind"] in MAKERS_OF_PODS}
    assert makers == {"fovea-serve", "fovea-score", "fovea-score-work", "fovea-train", None}


def test_pods_hold_one_container_each() -> None:
    for manifest in everything():
        if manifest["kind"] in MAKERS_OF_PODS:
            pod = pods_of(manifest).pod
            assert len(pod["containers"]) == 1
            assert "initContainers" not in pod
