"""The Job controller, whose pods are processes."""

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.scorer.fake_kubernetes.kubelet import Kubelet
from tests.scorer.fake_kubernetes.statuses import Body


@dataclass
class JobController:
    """Runs all indexes of a Job at once, each as often as its policies let it."""

    set_status: Callable[[str, Body], None]
    kubelet: Kubelet = field(default_factory=Kubelet)
    evicted: set[int] = field(default_factory=set)
    """Process ids of pods that have the condition DisruptionTarget."""
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
            ending = _ending(outcomes)
            self.set_status(name, {"conditions": ending["conditions"][:1]})
            self.set_status(name, ending)

    def _run_index(self, spec: Body, index: int, outcomes: dict[int, str]) -> None:
        failures = 0
        while not self.closed:
            code, disrupted = self._run_pod(spec["template"], index)
            action = "succeeded" if code == 0 else _action(spec, code, disrupted)
            failures += action in {None, "Count"}
            if action in {"succeeded", "FailIndex", "FailJob"} or failures > spec["backoffLimitPerIndex"]:
                outcomes[index] = "FailIndex" if action in {None, "Count"} else action
                return

    def _run_pod(self, template: Body, index: int) -> tuple[int, bool]:
        """Returns its exit code, and whether it was evicted."""
        pod = self.kubelet.start(template, {"JOB_COMPLETION_INDEX": str(index)})
        self.pods.append(pod)
        self.logs.append(pod.communicate()[0])
        return pod.returncode, pod.pid in self.evicted


def condition(kind: str, reason: str, message: str) -> Body:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def _action(spec: Body, code: int, disrupted: bool) -> str | None:
    """What the Job's podFailurePolicy does with a pod that failed so: its first rule that matches."""
    for rule in spec["podFailurePolicy"]["rules"]:
        conditions = [on["type"] for on in rule.get("onPodConditions", []) if on["status"] == "True"]
        if code in rule.get("onExitCodes", {}).get("values", []) or (
            disrupted and "DisruptionTarget" in conditions
        ):
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
    # Its pods are to end first; then the Job is said to have.
    decided = {"Failed": "FailureTarget", "Complete": "SuccessCriteriaMet"}[end[0]]
    return {**counts, **shown, "conditions": [condition(decided, *end[1:]), condition(*end)]}
