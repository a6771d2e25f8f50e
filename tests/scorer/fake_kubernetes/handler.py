"""One request over HTTP: its path and query in, an object or a stream out."""

import json
import re
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tests.scorer.fake_kubernetes.authorization import Request
from tests.scorer.fake_kubernetes.cluster import FakeKubernetes
from tests.scorer.fake_kubernetes.statuses import Body, Failure, status

_PATH: Final = re.compile(
    r"/(?P<api>apis/batch|api)/v1/namespaces/(?P<namespace>[^/]+)/(?P<resource>[a-z]+)(/(?P<name>[^/]+))?"
)
_SERVED: Final = {"apis/batch": ("batch", {"jobs", "cronjobs"}), "api": ("", {"pods", "events"})}
"""Path -> the API group, and what is served of it."""


class Handler(BaseHTTPRequestHandler):
    """`fake` is given by a subclass."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fake: FakeKubernetes

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._lets_in("create"):
            query = parse_qs(urlsplit(self.path).query)
            self._send(*self.fake.create(body, is_strict=query.get("fieldValidation") == ["Strict"]))

    def do_GET(self) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        selector = query.get("fieldSelector", "")
        name = selector.removeprefix("metadata.name=") if selector.startswith("metadata.name=") else ""
        watches = query.get("watch", "").lower() == "true"
        request = self._lets_in("watch" if watches else "list", name)
        if request is None:
            return
        if request.verb == "get":
            self._send(*self.fake.get(request.resource, request.name))
        elif not request.group:
            self._send(*self.fake.list_core(request.resource, query.get("labelSelector", selector)))
        elif watches:
            self._watch(int(query["resourceVersion"]), name or None)
        else:
            self._send(*self.fake.list_jobs(name or None))

    def _lets_in(self, verb: str, selected: str = "") -> Request | None:
        """The request, None if it has been answered: refused, or failed as a test has it."""
        match = _PATH.fullmatch(urlsplit(self.path).path)
        group, resources = _SERVED[match["api"]] if match else ("", set())
        if match is None or match["resource"] not in resources:
            self._send(404, status(404, "the server could not find the requested resource"))
            return None
        name = match["name"] or selected
        request = Request(
            "get" if match["name"] else verb, match["resource"], match["namespace"], name, group
        )
        refusal = self.fake.refusal(self.fake.rights.user_of(self.headers["Authorization"]), request)
        if refusal:
            self._send(*refusal)
            return None
        failure = self.fake.next_failure(request.verb) if group else None
        if failure:
            self._fail(failure, request.verb)
        return None if failure else request

    def _fail(self, failure: Failure, verb: str) -> None:
        if failure.status == 200:
            self._stream([])
        elif failure.status == 0:
            if verb == "watch":
                self._begin_stream()
            self.close_connection = True
        else:
            answer = status(failure.status, failure.message, failure.reason)
            self._send(failure.status, answer, failure.headers)

    def _watch(self, version: int, name: str | None) -> None:
        events = self.fake.events_after(version, name)
        self.fake.watched.release()
        self._stream(events)

    def _stream(self, events: Iterable[Body]) -> None:
        try:
            self._begin_stream()
            for event in events:
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
