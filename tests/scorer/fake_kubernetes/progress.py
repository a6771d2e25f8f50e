"""A Job's status, as its pods come and go."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby

from tests.scorer.fake_kubernetes.statuses import Body


class Progress:
    """Of a Job with backoffLimitPerIndex. `tell` hears of every change."""

    def __init__(self, spec: Body, tell: Callable[[Body], object]) -> None:
        self.spec = spec
        self.stopped = threading.Event()
        """No pod is created any more."""
        self._tell = tell
        self._lock = threading.RLock()
        self._counts = dict.fromkeys(("active", "ready", "terminating", "failed"), 0)
        self._completed: set[int] = set()
        self._failed: set[int] = set()
        self._running: set[subprocess.Popen[str]] = set()
        self._end: tuple[str, str, str] | None = None

    def action(self, code: int, disrupted: bool) -> str:
        """What the podFailurePolicy does with a pod that ended so: its first rule that matches."""
        if code == 0:
            return "Succeed"
        for rule in self.spec["podFailurePolicy"]["rules"]:
            conditions = [on["type"] for on in rule.get("onPodConditions", []) if on["status"] == "True"]
            if code in rule.get("onExitCodes", {}).get("values", []) or (
                disrupted and "DisruptionTarget" in conditions
            ):
                return str(rule["action"])
        return "Count"

    def pod_is_created(self) -> None:
        self._count(active=1)

    @contextmanager
    def ready(self, pod: subprocess.Popen[str]) -> Iterator[None]:
        """Inside, the pod runs; one that starts as the Job fails is ended as the others are."""
        with self._lock:
            self._running.add(pod)
            self._count(ready=1)
            if self.stopped.is_set():
                pod.terminate()
        yield
        with self._lock:
            self._running.discard(pod)
            left = {"terminating": -1} if self._counts["terminating"] else {"active": -1}
            self._count(ready=-1, **left)

    def pod_has_failed(self, *, counts: bool) -> None:
        self._count(failed=int(counts))

    def index_is_done(self, index: int) -> None:
        with self._lock:
            self._completed.add(index)
            self._count()

    def index_has_failed(self, index: int) -> None:
        with self._lock:
            self._failed.add(index)
            self._count()
            most = self.spec.get("maxFailedIndexes")
            if len(self._failed) > (self.spec["completions"] if most is None else most):
                message = "Job has exceeded the specified maximal number of failed indexes"
                self.fail("MaxFailedIndexesExceeded", message)

    def fail(self, reason: str, message: str) -> None:
        """The Job is to fail: its pods are ended first, and then it is said to have."""
        with self._lock:
            if self._end:
                return
            self._end = ("Failed", reason, message)
            self.stopped.set()
            self._tell({"conditions": [condition("FailureTarget", reason, message)]})
            running = len(self._running)
            self._count(active=-self._counts["active"], terminating=running)
            for pod in self._running:
                pod.terminate()

    def finish(self) -> None:
        """When no pod is left."""
        with self._lock:
            if self._end is None and self._failed:
                self.fail("FailedIndexes", "Job has failed indexes")
            kind, reason, message = self._end or (
                *("Complete", "CompletionsReached"),
                "Reached expected number of succeeded pods",
            )
            decided = condition(
                {"Failed": "FailureTarget", "Complete": "SuccessCriteriaMet"}[kind], reason, message
            )
            self._tell({"conditions": [decided]})
            self._counts |= {"active": 0, "ready": 0, "terminating": 0}
            self._tell({**self._shown(), "conditions": [decided, condition(kind, reason, message)]})

    def _count(self, **changes: int) -> None:
        with self._lock:
            for name, change in changes.items():
                self._counts[name] += change
            self._tell(self._shown())

    def _shown(self) -> Body:
        indexes = {"completedIndexes": self._completed, "failedIndexes": self._failed}
        written = {name: as_ranges(numbers) for name, numbers in indexes.items() if numbers}
        return {**self._counts, "succeeded": len(self._completed), **written}


def condition(kind: str, reason: str, message: str) -> Body:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def as_ranges(indexes: set[int]) -> str:
    """{0, 2, 3, 4} -> "0,2-4"; two in a row are written as two."""
    runs = [
        [index for _, index in run]
        for _, run in groupby(enumerate(sorted(indexes)), key=lambda pair: pair[1] - pair[0])
    ]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)
