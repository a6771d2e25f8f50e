"""The part of a Kubernetes API server, and of its Job controller, that `drive` meets, over real HTTP.

It keeps Jobs, refuses those that are not valid, lists and watches them by version, and fails when a test says
so. With `runs_pods` each index of a Job is a process that does what its container says, restarted as the
Job's policies have it.
"""

import copy
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
Body = dict[str, Any]

OLDEST_SUPPORTED = "1.31"
"""Of Kubernetes: since then podFailurePolicy is stable, and backoffLimitPerIndex on by default."""


@dataclass
class Failure:
    """What a request is answered with in place of the truth.

    `status` 0 drops the connection, that of a watch after it has begun.
    """

    status: int
    message: str = "as the test has it"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeKubernetes:
    """`asked` are the requests, as RBAC names them (create, get, list, watch), in order."""

    namespace: str = "fovea"
    runs_pods: bool = True
    asked: list[str] = field(default_factory=list)
    jobs: dict[str, Body] = field(default_factory=dict)
    pods: list[subprocess.Popen[str]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    """Pods start when it is set."""
    watched: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released when a watch has begun."""
    _failures: dict[str, deque[Failure]] = field(default_factory=dict)
    _events: list[tuple[int, str, Body]] = field(default_factory=list)
    _version: int = 100
    _forgotten: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False
    url: str = ""

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
            return 422, _status(422, "Invalid", f"Job is invalid: {error.message}")
        name = body["metadata"]["name"]
        with self._changed:
            if name in self.jobs:
                return 409, _status(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
            job = copy.deepcopy(body)
            job["metadata"] |= {"namespace": self.namespace, "uid": f"uid-{name}"}
            self.jobs[name] = job
            self._happened("ADDED", job)
        if self.runs_pods:
            threading.Thread(target=self._control, args=(name,), daemon=True).start()
        return 201, job

    def answer(self, verb: str, name: str | None) -> tuple[int, Body]:
        with self._changed:
            if verb == "get":
                found = self.jobs.get(name or "")
                missing = _status(404, "NotFound", f'jobs.batch "{name}" not found')
                return (200, found) if found else (404, missing)
            chosen = [job for job in self.jobs.values() if name in {None, job["metadata"]["name"]}]
            listed = {"resourceVersion": str(self._version)}
            return 200, {"apiVersion": "batch/v1", "kind": "JobList", "metadata": listed, "items": chosen}

    def events_after(self, version: int, name: str | None) -> Iterator[Body]:
        """Waits for each; ends when the server does."""
        if version < self._forgotten:
            gone = _status(410, "Expired", f"too old resource version: {version} ({self._forgotten})")
            yield {"type": "ERROR", "object": gone}
            return
        while not self._closed:
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
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.gate.set()
        for pod in self.pods:
            pod.kill()

    def _happened(self, kind: str, job: Body) -> None:
        self._version += 1
        job["metadata"]["resourceVersion"] = str(self._version)
        self._events.append((self._version, kind, copy.deepcopy(job)))
        self._changed.notify_all()

    def _control(self, name: str) -> None:
        """The Job controller: all indexes at once, each as often as its policies let it."""
        spec = self.jobs[name]["spec"]
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
        if not self._closed:
            self.set_status(name, _ending(outcomes))

    def _run_index(self, spec: Body, index: int, outcomes: dict[int, str]) -> None:
        for _ in range(spec["backoffLimitPerIndex"] + 1):
            code = self._run_pod(spec["template"]["spec"]["containers"][0], index)
            outcomes[index] = "succeeded" if code == 0 else _action(spec, code) or "FailIndex"
            if code == 0 or _action(spec, code) or self._closed:
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


def condition(kind: str, reason: str, message: str) -> Body:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def _status(code: int, reason: str, message: str) -> Body:
    fixed = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure"}
    return {**fixed, "code": code, "reason": reason, "message": message}


@contextmanager
def running(fake: FakeKubernetes) -> Iterator[FakeKubernetes]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        fake.close()
        server.shutdown()
        server.server_close()


def _handler(fake: FakeKubernetes) -> type[BaseHTTPRequestHandler]:
    collection = f"/apis/batch/v1/namespaces/{fake.namespace}/jobs"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if urlsplit(self.path).path != collection:
                self._send(404, _status(404, "NotFound", "namespaces not found"))
            elif not self._fails("create"):
                self._send(*fake.create(body))

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            name = query.get("fieldSelector", "").removeprefix("metadata.name=") or None
            if parts.path.startswith(f"{collection}/"):
                verb, name = "get", parts.path.rsplit("/", 1)[-1]
            else:
                verb = "watch" if query.get("watch", "").lower() == "true" else "list"
            if self._fails(verb):
                return
            if verb == "watch":
                self._watch(int(query["resourceVersion"]), name)
            else:
                self._send(*fake.answer(verb, name))

        def _watch(self, version: int, name: str | None) -> None:
            self._begin_stream()
            fake.watched.release()
            try:
                for event in fake.events_after(version, name):
                    data = json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True

        def _begin_stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

        def _fails(self, verb: str) -> bool:
            failure = fake.next_failure(verb)
            if failure is None:
                return False
            if failure.status == 0:
                if verb == "watch":
                    self._begin_stream()
                self.close_connection = True
            else:
                self._send(
                    failure.status, _status(failure.status, "Scripted", failure.message), failure.headers
                )
            return True

        def _send(self, code: int, body: Body, headers: dict[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            for key, value in {**(headers or {}), "Content-Type": "application/json"}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is its base's)
            pass

    return Handler
