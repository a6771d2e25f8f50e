"""The Job controller, for Jobs with backoffLimitPerIndex, whose pods are processes."""

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.scorer.fake_kubernetes.kubelet import Kubelet
from tests.scorer.fake_kubernetes.pod_objects import PodObjects
from tests.scorer.fake_kubernetes.progress import Progress, condition
from tests.scorer.fake_kubernetes.statuses import Body

__all__ = ["JobController", "backoff_s", "condition"]

FIRST_BACKOFF_S: Final = 10
LONGEST_BACKOFF_S: Final = 600


def backoff_s(failures: int) -> float:
    """What passes between a pod's end and the next pod of its index, when so many of them have failed."""
    return float(min(FIRST_BACKOFF_S * 2 ** (failures - 1), LONGEST_BACKOFF_S))


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
    pace: float = 0.001
    """What a second of the delays takes."""
    delays_s: list[float] = field(default_factory=list)
    """Those that were kept, before `pace`."""
    objects: PodObjects = field(default_factory=PodObjects)
    _closing: threading.Event = field(default_factory=threading.Event)

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    def close(self) -> None:
        self._closing.set()
        self.gate.set()
        for pod in self.pods:
            pod.kill()

    def control(self, name: str, spec: Body) -> None:
        def tell(status: Body) -> None:
            if not self.closed:
                self.set_status(name, status)

        job = Progress(spec, tell)
        indexes = range(spec["completions"])
        for index in indexes:
            self.objects.add(name, index)
            job.pod_is_created()
        self.gate.wait()
        threads = [
            threading.Thread(target=self._run_index, args=(name, job, index), daemon=True)
            for index in indexes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        job.finish()

    def _run_index(self, name: str, job: Progress, index: int) -> None:
        """`failures` count, those that are ignored delay the next pod too."""
        failures = ignored = 0
        while not self.closed and not job.stopped.is_set():
            code, disrupted = self._run_pod(name, job, index)
            action = job.action(code, disrupted)
            if action == "Succeed":
                job.index_is_done(index)
                return
            failures, ignored = failures + (action == "Count"), ignored + (action == "Ignore")
            job.pod_has_failed(counts=action != "Ignore")
            if action == "FailJob":
                job.fail(
                    "PodFailurePolicy", f"Container worker failed with exit code {code} matching FailJob"
                )
                return
            if action == "FailIndex" or failures > job.spec["backoffLimitPerIndex"]:
                job.index_has_failed(index)
                return
            self._delay(failures + ignored)
            if not job.stopped.is_set():
                self.objects.add(name, index)
                job.pod_is_created()

    def _delay(self, failures: int) -> None:
        self.delays_s.append(backoff_s(failures))
        self._closing.wait(backoff_s(failures) * self.pace)

    def _run_pod(self, name: str, job: Progress, index: int) -> tuple[int, bool]:
        """Returns its exit code, as a container runtime has it, and whether it was evicted."""
        pod = self.kubelet.start(job.spec["template"], {"JOB_COMPLETION_INDEX": str(index)})
        self.pods.append(pod)
        self.objects.run(name, index)
        with job.ready(pod):
            self.logs.append(pod.communicate()[0])
        code = pod.returncode if pod.returncode >= 0 else 128 - pod.returncode
        self.objects.end(name, index, code)
        return code, pod.pid in self.evicted
