"""Pods whose one container is a process, with the variables and the token that its manifest asks for."""

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.programs import Program
from tests.scorer.fake_kubernetes.statuses import Body

ROOT = Path(__file__).parents[3]

_WITH_TOKEN: Final = """
import sys
from pathlib import Path

import kubernetes.config.incluster_config as pod
import scorer.cluster.api

mount = Path(sys.argv.pop(1))
pod.SERVICE_TOKEN_FILENAME, pod.SERVICE_CERT_FILENAME = str(mount / "token"), str(mount / "ca.crt")
scorer.cluster.api.NAMESPACE_FILE = mount / "namespace"
scorer.cluster.api.FIRST_WAIT_S = 0.05

from fovea import entry

entry.run("scorer.__main__")
"""
"""The scorer, for which a folder stands for /var/run/secrets/kubernetes.io/serviceaccount.

It waits less than it would before it asks a busy API again.
"""


@dataclass
class Kubelet:
    """`api_server` tells every pod its host and port; `mount` gives the folder of an account's token.

    Raises KeyError for a ConfigMap or an account that is not there: a pod would wait for it for ever.
    """

    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    api_server: Mapping[str, str] = field(default_factory=dict)
    mount: Callable[[str], Path] | None = None
    _started: list[tuple[str | None, subprocess.Popen[str]]] = field(default_factory=list)

    def of_index(self, index: int) -> list[subprocess.Popen[str]]:
        """The pods of this index of a Job, in the order of their starts."""
        return [pod for own_index, pod in self._started if own_index == str(index)]

    def start(self, template: Body, more: Mapping[str, str]) -> subprocess.Popen[str]:
        """Starts the pod's container, with `more` variables."""
        pod = template["spec"]
        (container,) = pod["containers"]
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("FOVEA_") and n != "KUBECONFIG"}
        given = self._variables(container, template.get("metadata", {}).get("labels", {}))
        process = self._start(
            container,
            pod,
            cwd=ROOT,
            env={**inherited, **self.api_server, **given, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._started.append((more.get("JOB_COMPLETION_INDEX"), process))
        return process

    def _start(self, container: Body, pod: Body, **options: Any) -> subprocess.Popen[str]:
        command: list[str] = [*container["command"], *container["args"]]
        program, *arguments = command
        if program != "python":
            return subprocess.Popen([program, *arguments], text=True, **options)
        assert arguments[:2] == ["-m", "scorer"]
        if self.mount is None or not pod.get("automountServiceAccountToken", True):
            return Program("scorer", *arguments[2:], **options)
        mounted = self.mount(pod.get("serviceAccountName", "default"))
        return Program("scorer", str(mounted), *arguments[2:], code=_WITH_TOKEN, **options)

    def _variables(self, container: Body, labels: Mapping[str, str]) -> dict[str, str]:
        variables: dict[str, str] = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                variables |= self.config_maps[source["configMapRef"]["name"]]
            else:
                assert source["secretRef"]["optional"]
        for variable in container.get("env", []):
            if "value" in variable:
                variables[variable["name"]] = variable["value"]
            else:
                label = variable["valueFrom"]["fieldRef"]["fieldPath"]
                variables[variable["name"]] = labels[label.removeprefix("metadata.labels['").rstrip("']")]
        return variables
