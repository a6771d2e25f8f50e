"""The pods as the API shows them."""

from collections import defaultdict
from dataclasses import dataclass, field

from tests.scorer.fake_kubernetes.statuses import Body

_CREATING: Body = {"name": "worker", "state": {"waiting": {"reason": "ContainerCreating"}}}


@dataclass
class PodObjects:
    """Of all Jobs, those that have ended too."""

    held_up: Body = field(default_factory=dict)
    """What new pods have for a status while no node takes them."""
    _of_index: dict[tuple[str, int], list[Body]] = field(default_factory=lambda: defaultdict(list))

    def add(self, job: str, index: int) -> None:
        tries = self._of_index[job, index]
        labels = {"batch.kubernetes.io/job-name": job, "batch.kubernetes.io/job-completion-index": str(index)}
        name = f"{job}-{index}-{len(tries)}"
        status = {"phase": "Pending", **(self.held_up or {"containerStatuses": [_CREATING]})}
        annotations = {"batch.kubernetes.io/job-completion-index": str(index)}
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        tries.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})

    def run(self, job: str, index: int) -> None:
        state = {"name": "worker", "state": {"running": {}}}
        self._of_index[job, index][-1]["status"] = {"phase": "Running", "containerStatuses": [state]}

    def end(self, job: str, index: int, code: int) -> None:
        state = {"name": "worker", "state": {"terminated": {"exitCode": code}}}
        phase = "Failed" if code else "Succeeded"
        self._of_index[job, index][-1]["status"] = {"phase": phase, "containerStatuses": [state]}

    def of(self, job: str) -> list[Body]:
        return [pod for (owner, _), pods in list(self._of_index.items()) for pod in pods if owner == job]
