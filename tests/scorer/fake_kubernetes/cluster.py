"""The objects of one namespace, and what happens to them."""

import copy
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import kubernetes_validate
import yaml

from tests.scorer.fake_kubernetes.job_controller import JobController
from tests.scorer.fake_kubernetes.statuses import Body, Failure, status

OLDEST_SUPPORTED = "1.31"
"""Of Kubernetes: since then podFailurePolicy is stable, and backoffLimitPerIndex on by default."""


@dataclass
class FakeKubernetes:
    """`asked` are the requests, as RBAC names them (create, get, list, watch), in order."""

    namespace: str = "fovea"
    runs_pods: bool = True
    asked: list[str] = field(default_factory=list)
    jobs: dict[str, Body] = field(default_factory=dict)
    watched: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released when a watch has begun."""
    url: str = ""
    _failures: dict[str, deque[Failure]] = field(default_factory=dict)
    _events: list[tuple[int, str, Body]] = field(default_factory=list)
    _version: int = 100
    _forgotten: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._controller = JobController(self.set_status)

    @property
    def pods(self) -> list[subprocess.Popen[str]]:
        return self._controller.pods

    @property
    def logs(self) -> list[str]:
        """Of each pod that has ended."""
        return self._controller.logs

    @property
    def gate(self) -> threading.Event:
        """Pods start when it is set."""
        return self._controller.gate

    def fail(self, verb: str, *failures: Failure) -> None:
        """The next requests of this kind get these answers."""
        self._failures.setdefault(verb, deque()).extend(failures)

    def kubeconfig(self, path: Path) -> Path:
        entry = {"cluster": {"server": self.url}, "user": {"token": "a-token"}}
        context = {"cluster": "test", "user": "test", "namespace": self.namespace}
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "contexts": [{"name": "test", "context": context}],
                    "clusters": [{"name": "test", "cluster": entry["cluster"]}],
                    "users": [{"name": "test", "user": entry["user"]}],
                }
            )
        )
        return path

    def set_status(self, name: str, status: Body) -> None:
        with self._changed:
            job = self.jobs[name]
            job["status"] = {**job.get("status", {}), **status}
            self._happened("MODIFIED", job)

    def delete(self, name: str) -> None:
        with self._changed:
            self._happened("DELETED", self.jobs.pop(name))

    def forget(self) -> None:
        """Compaction: a watch cannot go on from before now."""
        with self._changed:
            self._version += 1
            self._forgotten = self._version

    def create(self, body: Body) -> tuple[int, Body]:
        try:
            for version in (OLDEST_SUPPORTED, kubernetes_validate.latest_version()):
                kubernetes_validate.validate(body, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            return 422, status(422, f"Job is invalid: {error.message}")
        name = body["metadata"]["name"]
        with self._changed:
            if name in self.jobs:
                return 409, status(409, f'jobs.batch "{name}" already exists')
            job = copy.deepcopy(body)
            job["metadata"] |= {"namespace": self.namespace, "uid": f"uid-{name}"}
            self.jobs[name] = job
            self._happened("ADDED", job)
        if self.runs_pods:
            control = threading.Thread(target=self._controller.control, args=(name, job["spec"]), daemon=True)
            control.start()
        return 201, job

    def answer(self, verb: str, name: str | None) -> tuple[int, Body]:
        with self._changed:
            if verb == "get":
                found = self.jobs.get(name or "")
                return (200, found) if found else (404, status(404, f'jobs.batch "{name}" not found'))
            chosen = [job for job in self.jobs.values() if name in {None, job["metadata"]["name"]}]
            listed = {"resourceVersion": str(self._version)}
            return 200, {"apiVersion": "batch/v1", "kind": "JobList", "metadata": listed, "items": chosen}

    def events_after(self, version: int, name: str | None) -> Iterator[Body]:
        """Waits for each; ends when the server does."""
        if version < self._forgotten:
            gone = status(410, f"too old resource version: {version} ({self._forgotten})")
            yield {"type": "ERROR", "object": gone}
            return
        while not self._controller.closed:
            with self._changed:
                news = [event for event in self._events if event[0] > version]
                if not news:
                    self._changed.wait(timeout=1)
            version = news[-1][0] if news else version
            for _, kind, job in news:
                if name in {None, job["metadata"]["name"]}:
                    yield {"type": kind, "object": job}

    def next_failure(self, verb: str) -> Failure | None:
        self.asked.append(verb)
        waiting = self._failures.get(verb)
        return waiting.popleft() if waiting else None

    def close(self) -> None:
        self._controller.close()
        with self._changed:
            self._changed.notify_all()

    def _happened(self, kind: str, job: Body) -> None:
        self._version += 1
        job["metadata"]["resourceVersion"] = str(self._version)
        self._events.append((self._version, kind, copy.deepcopy(job)))
        self._changed.notify_all()
