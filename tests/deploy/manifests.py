"""deploy/ as a cluster would get it."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import kubeflow
from tests.deploy.compositions import DEPLOY, PLAIN, ROOT, Composition

__all__ = ["DEPLOY", "ROOT"]

Manifest = dict[str, Any]

UNCOLLECTED = {"GOGC": "off"}
"""For a program in Go that is soon over: for a third of its time it would collect garbage."""


@dataclass(frozen=True, eq=False)
class Rendering:
    """All that a composition gives a cluster."""

    composition: Composition
    manifests: tuple[Manifest, ...]

    def of_kind(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def named(self, kind: str, name: str) -> Manifest:
        (manifest,) = [one for one in self.of_kind(kind) if one["metadata"].get("name") == name]
        return manifest

    def pods(self, name: str) -> "Workload":
        """Of the Deployment or CronJob of this name, of job.yaml, or of a TrainJob."""
        if name == "job.yaml":
            return pods_of(lone_job(), self)
        if name == "trainjob.yaml":
            return pods_of(self.named("TrainingRuntime", "fovea-train"), self)
        return pods_of(self.named("Deployment" if name == "fovea-serve" else "CronJob", name), self)


@cache
def render(composition: Composition = PLAIN) -> Rendering:
    """Skips where kubectl is missing, but not when CI=true."""
    manifests = _parse(keep(composition.name, lambda: _kustomize_composition(composition)))
    return Rendering(composition, (*manifests, lone_job()) if composition == PLAIN else manifests)


def build(folder: Path) -> tuple[Manifest, ...]:
    """What `kubectl kustomize FOLDER` prints."""
    return _parse(_kustomize(folder))


def keep(name: str, make: Callable[[], str]) -> str:
    """The rendering of that name, made anew: tests/deploy/conftest.py has it made once for all processes."""
    return make()


def _kustomize_composition(composition: Composition) -> str:
    if composition == PLAIN:
        return "---\n".join(_kustomize(DEPLOY / folder) for folder in PLAIN.folders)
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(DEPLOY, Path(scratch, "deploy")) / (
            composition.folders[0] if composition.overlay else "overlays/composed"
        )
        folder.mkdir(exist_ok=True)
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(composition.kustomization()))
        return _kustomize(folder)


def _kustomize(folder: Path) -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("kubectl is not installed, so deploy/ cannot be rendered")
    done = subprocess.run(
        [kubectl, "kustomize", str(folder)],
        env=os.environ | UNCOLLECTED,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _parse(text: str) -> tuple[Manifest, ...]:
    return tuple(yaml.load_all(text, yaml.CSafeLoader))  # which is ten times as fast


def lone_job() -> Manifest:
    (manifest,) = _parse((DEPLOY / "train/job.yaml").read_text())
    return manifest


def lone_train_job() -> Manifest:
    (manifest,) = _parse((DEPLOY / "components/kubeflow/trainjob.yaml").read_text())
    return manifest


def named(kind: str, name: str) -> Manifest:
    """What is in deploy/base or deploy/train."""
    return render().named(kind, name)


@dataclass(frozen=True)
class Workload:
    """Something that makes pods of one container, and the Job's spec where it is one."""

    manifest: Manifest
    template: Manifest
    rendering: Rendering
    job_spec: Manifest | None = None

    @property
    def components(self) -> tuple[str, ...]:
        return self.rendering.composition.components

    @property
    def job(self) -> Manifest:
        """The Job's spec of those that are one."""
        assert self.job_spec is not None, f"{self.manifest['kind']} makes no Job"
        return self.job_spec

    @property
    def pod(self) -> Manifest:
        spec: Manifest = self.template["spec"]
        return spec

    @property
    def container(self) -> Manifest:
        only: Manifest
        (only,) = self.pod["containers"]
        return only

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def mounts(self) -> dict[str, Manifest]:
        """Where each volume is mounted -> the volume, with the mount's readOnly."""
        volumes = {volume["name"]: volume for volume in self.pod["volumes"]}
        return {
            mount["mountPath"]: {**volumes[mount["name"]], "readOnly": mount.get("readOnly", False)}
            for mount in self.container["volumeMounts"]
        }

    def environment(self, index: int = 0) -> dict[str, str]:
        """The variables that the kubelet would give to the container, less the Secret's.

        `index` is the pod's own, in a Job that numbers its pods.
        """
        variables: dict[str, str] = {}
        for source in self.container.get("envFrom", []):
            if "configMapRef" in source:
                variables |= self.rendering.named("ConfigMap", source["configMapRef"]["name"])["data"]
        fields = fields_of_pod(index)
        for variable in self.container.get("env", []):
            variables[variable["name"]] = (
                _expanded(variable["value"], variables)
                if "value" in variable
                else fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
            )
        return variables

    def arguments(self) -> list[str]:
        """The program's, as the kubelet would give them to it."""
        variables = self.environment()
        return [_expanded(argument, variables) for argument in self.container["args"]]


def _expanded(value: str, before: dict[str, str]) -> str:
    """As the kubelet does: of the variables that come before, and left as it is where there is none."""
    return re.sub(r"\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)", lambda found: before.get(found[1], found[0]), value)


def is_training(pods: Workload) -> bool:
    """Kubeflow wants its container to be called node."""
    return pods.container["name"] in {"trainer", "node"}


JOB_NAME = "fovea-job-29384"
POD_NAME = f"{JOB_NAME}-x7k2p"


def fields_of_pod(index: int) -> dict[str, str]:
    """What the Job controller would name its Job and its pod, and write into the pod's metadata."""
    return {
        "metadata.name": POD_NAME,
        "metadata.labels['batch.kubernetes.io/job-name']": JOB_NAME,
        "metadata.labels['jobset.sigs.k8s.io/jobset-name']": JOB_NAME,
        "metadata.annotations['batch.kubernetes.io/job-completion-index']": str(index),
    }


MAKERS_OF_PODS = ("Deployment", "Job", "CronJob", "TrainingRuntime")


def pods_of(manifest: Manifest, rendering: Rendering | None = None) -> Workload:
    """The pods that a manifest of one of MAKERS_OF_PODS makes."""
    rendering, spec = rendering or render(), manifest["spec"]
    if manifest["kind"] == "Deployment":
        return Workload(manifest, spec["template"], rendering)
    match manifest["kind"]:
        case "Job":
            job = spec
        case "CronJob":
            job = spec["jobTemplate"]["spec"]
        case _:
            job = kubeflow.job_of(manifest, lone_train_job(), JOB_NAME)
    return Workload(manifest, job["template"], rendering, job)
