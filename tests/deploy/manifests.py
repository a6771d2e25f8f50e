"""deploy/ as a cluster would get it."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FOLDERS = ("base", "train")
Manifest = dict[str, Any]


@cache
def render(folder: str) -> tuple[Manifest, ...]:
    """What `kubectl kustomize deploy/FOLDER` prints. Skips where kubectl is missing, but not when CI=true."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("kubectl is not installed, so deploy/ cannot be rendered")
    command = [kubectl, "kustomize", str(DEPLOY / folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def everything() -> tuple[Manifest, ...]:
    """What is applied from every folder, and the Job that is created by hand."""
    return (*(manifest for folder in FOLDERS for manifest in render(folder)), lone_job())


def lone_job() -> Manifest:
    return yaml.safe_load((DEPLOY / "train/job.yaml").read_text())


def of_kind(kind: str) -> list[Manifest]:
    return [manifest for manifest in everything() if manifest["kind"] == kind]


def named(kind: str, name: str) -> Manifest:
    (found,) = [manifest for manifest in of_kind(kind) if manifest["metadata"].get("name") == name]
    return found


@dataclass(frozen=True)
class Workload:
    """Something that makes pods of one container, and the Job's spec where it is one."""

    manifest: Manifest
    template: Manifest
    job: Manifest | None = None

    @property
    def pod(self) -> Manifest:
        return self.template["spec"]

    @property
    def container(self) -> Manifest:
        (only,) = self.pod["containers"]
        return only

    @property
    def labels(self) -> dict[str, str]:
        return self.template["metadata"]["labels"]

    def environment(self) -> dict[str, str]:
        """The variables that the kubelet would give to the container, less the Secret's."""
        variables: dict[str, str] = {}
        for source in self.container.get("envFrom", []):
            if "configMapRef" in source:
                variables |= named("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in self.container.get("env", []):
            variables[variable["name"]] = variable["value"] if "value" in variable else self._field(variable)
        return variables

    def _field(self, variable: Manifest) -> str:
        return FIELDS[variable["valueFrom"]["fieldRef"]["fieldPath"]]


JOB_NAME = "fovea-job-29384"
POD_NAME = f"{JOB_NAME}-x7k2p"
FIELDS = {"metadata.name": POD_NAME, "metadata.labels['batch.kubernetes.io/job-name']": JOB_NAME}
"""What the Job controller would name its Job and its pod, and write into the pod's label."""

MAKERS_OF_PODS = ("Deployment", "Job", "CronJob")


def pods_of(manifest: Manifest) -> Workload:
    """The pods that a manifest of one of MAKERS_OF_PODS makes."""
    spec = manifest["spec"]
    if manifest["kind"] == "Deployment":
        return Workload(manifest, spec["template"])
    job = spec if manifest["kind"] == "Job" else spec["jobTemplate"]["spec"]
    return Workload(manifest, job["template"], job)
