"""The objects of one namespace, and what happens to them."""

import copy
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.scorer.fake_kubernetes.admission import problem_with, unknown_field
from tests.scorer.fake_kubernetes.authorization import Request, Rights, forbidden
from tests.scorer.fake_kubernetes.credentials import write_kubeconfig
from tests.scorer.fake_kubernetes.job_controller import JobController
from tests.scorer.fake_kubernetes.kubelet import Kubelet
from tests.scorer.fake_kubernetes.pod_objects import PodObjects
from tests.scorer.fake_kubernetes.statuses import Body, Failure, status


@dataclass
class FakeKubernetes:
    """`asked` are the verbs of the requests (create, get, list, watch), in order; `used` what they were for.

    `rights` are those that deploy/base gives, until other manifests are applied.
    """

    namespace: str = "fovea"
    runs_pods: bool = True
    rights: Rights = field(init=False)
    asked: list[str] = field(default_factory=list)
    used: set[tuple[str, str]] = field(default_factory=set)
    jobs: dict[str, Body] = field(default_factory=dict)
    cron_jobs: dict[str, Body] = field(default_factory=dict)
    warnings: list[Body] = field(default_factory=list)
    """Events."""
    newer_fields: frozenset[str] = frozenset()
    """Of a Job's spec: fields of a Kubernetes newer than the client."""
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
        self.rights = Rights.deployed(self.namespace)

    @property
    def kubelet(self) -> Kubelet:
        return self._controller.kubelet

    @property
    def objects(self) -> PodObjects:
        """The pods as the API shows them."""
        return self._controller.objects

    @property
    def delays_s(self) -> list[float]:
        """What passed between a pod's end and its successor's start, by the Job controller's clock."""
        return self._controller.delays_s

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

    def kubeconfig(self, path: Path, user: str = "fovea-score") -> Path:
        """Of a ServiceAccount, or of ADMINISTRATOR."""
        return write_kubeconfig(path, self.url, self.namespace, self.rights.token_of(user))

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

    def create(self, body: Body, is_strict: bool = True) -> tuple[int, Body]:
        known = {**body, "spec": {k: v for k, v in body["spec"].items() if k not in self.newer_fields}}
        if problem := problem_with(known):
            return 422, status(422, f"Job is invalid: {problem}")
        if is_strict and (unknown := unknown_field(known)):
            return 400, status(400, f"strict decoding error: {unknown}")
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

    def apply(self, manifests: Sequence[Body]) -> None:
        """Takes the rights, ConfigMaps and CronJobs of these."""
        self.rights = Rights(manifests)
        for manifest in manifests:
            name = manifest["metadata"]["name"]
            if manifest["kind"] == "ConfigMap":
                self.kubelet.config_maps = {**self.kubelet.config_maps, name: manifest["data"]}
            if manifest["kind"] == "CronJob":
                self.cron_jobs[name] = _as_stored(manifest)

    def evict(self, pod: subprocess.Popen[str]) -> None:
        """As a drain of its node does."""
        self._controller.evicted.add(pod.pid)
        pod.terminate()

    def report(self, name: str, kind: str, reason: str, message: str) -> None:
        """An event of type Warning, of a Job or a pod."""
        involved = {"kind": kind, "name": name, "namespace": self.namespace}
        metadata = {"name": f"{name}.{len(self.warnings):x}", "namespace": self.namespace}
        said = {"type": "Warning", "reason": reason, "message": message, "involvedObject": involved}
        self.warnings.append({"apiVersion": "v1", "kind": "Event", "metadata": metadata, **said})

    def list_core(self, resource: str, selector: str) -> tuple[int, Body]:
        """Pods of the Job that the selector names, or events."""
        if resource == "pods":
            label, _, job = selector.partition("=")
            assert label == "batch.kubernetes.io/job-name"
            items = self.objects.of(job)
        else:
            assert selector == "type=Warning"
            items = self.warnings
        kind = {"pods": "PodList", "events": "EventList"}[resource]
        metadata = {"resourceVersion": str(self._version)}
        return 200, {"apiVersion": "v1", "kind": kind, "metadata": metadata, "items": items}

    def get(self, resource: str, name: str) -> tuple[int, Body]:
        with self._changed:
            body = {"jobs": self.jobs, "cronjobs": self.cron_jobs}[resource].get(name)
            return (200, body) if body else (404, status(404, f'{resource}.batch "{name}" not found'))

    def list_jobs(self, name: str | None) -> tuple[int, Body]:
        with self._changed:
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

    def refusal(self, user: str | None, request: Request) -> tuple[int, Body] | None:
        """Why this user does not get that, as the API server says it."""
        self.asked.append(request.verb)
        self.used.add((request.verb, request.resource))
        if user is None:
            return 401, status(401, "Unauthorized")
        if not self.rights.allow(user, request):
            return 403, status(403, forbidden(user, request))
        if request.namespace != self.namespace:
            return 404, status(404, f'namespaces "{request.namespace}" not found')
        return None

    def next_failure(self, verb: str) -> Failure | None:
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


def _as_stored(cron_job: Body) -> Body:
    """With some of the fields that the API server adds to a template, and the null that it leaves there."""
    stored = copy.deepcopy(cron_job)
    job = stored["spec"]["jobTemplate"]
    job["metadata"] = {**job.get("metadata", {}), "creationTimestamp": None}
    template = job["spec"]["template"]
    template["metadata"] = {**template.get("metadata", {}), "creationTimestamp": None}
    template["spec"] |= {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    for container in template["spec"]["containers"]:
        container |= {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}
    return stored
