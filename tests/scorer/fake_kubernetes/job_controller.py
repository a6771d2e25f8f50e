"""The Job controller, whose pods are processes."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.scorer.fake_kubernetes.statuses import Body

ROOT = Path(__file__).parents[3]


@dataclass
class JobController:
    """Runs all indexes of a Job at once, each as often as its policies let it."""

    set_status: Callable[[str, Body], None]
    pods: list[subprocess.Popen[str]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    closed: bool = False

    def close(self) -> None:
        self.closed = True
        self.gate.set()
        for pod in self.pods:
            pod.kill()

    def control(self, name: str, spec: Body) -> None:
        self.set_status(name, {"active": spec["completions"]})
        self.gate.wait()
        outcomes: dict[int, str] = {}
        threads = [
            threading.Thread(target=self._run_index, args=(spec, index, outcomes), daemon=True)
            for index in range(spec["completions"])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not self.closed:
            self.set_status(name, _ending(outcomes))

    def _run_index(self, spec: Body, index: int, outcomes: dict[int, str]) -> None:
        for _ in range(spec["backoffLimitPerIndex"] + 1):
            code = self._run_pod(spec["template"]["spec"]["containers"][0], index)
            outcomes[index] = "succeeded" if code == 0 else _action(spec, code) or "FailIndex"
            if code == 0 or _action(spec, code) or self.closed:
                return

    def _run_pod(self, container: Body, index: int) -> int:
        given = {variable["name"]: variable["value"] for variable in container["env"]}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FOVEA_")}
        command = [*container["command"], *container["args"]]
        pod = subprocess.Popen(
            [sys.executable if word == "python" else word for word in command],
            cwd=ROOT,
            env={**inherited, **given, "JOB_COMPLETION_INDEX": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.pods.append(pod)
        self.logs.append(pod.communicate()[0])
        return pod.returncode


def condition(kind: str, reason: str, message: str) -> Body:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def _action(spec: Body, code: int) -> str | None:
    """What the Job's podFailurePolicy does on this exit code."""
    for rule in spec["podFailurePolicy"]["rules"]:
        if code in rule.get("onExitCodes", {}).get("values", []):
            return str(rule["action"])
    return None


def _ending(outcomes: dict[int, str]) -> Body:
    succeeded = sorted(index for index, outcome in outcomes.items() if outcome == "succeeded")
    failed = sorted(set(outcomes) - set(succeeded))
    if "FailJob" in outcomes.values():
        end = ("Failed", "PodFailurePolicy", "Container worker failed with exit code 2 matching FailJob rule")
    elif failed:
        end = ("Failed", "FailedIndexes", "Job has failed indexes")
    else:
        end = ("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
    counts = {"active": 0, "succeeded": len(succeeded), "failed": len(failed)}
    indexes = {"completedIndexes": succeeded, "failedIndexes": failed}
    shown = {key: ",".join(map(str, value)) for key, value in indexes.items()}
    return {**counts, **shown, "conditions": [condition(*end)]}
