"""The HTTP side: paths and queries in, objects and streams out."""

import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tests.scorer.fake_kubernetes.authorization import Request
from tests.scorer.fake_kubernetes.cluster import FakeKubernetes
from tests.scorer.fake_kubernetes.statuses import Body, status

_PATH: Final = re.compile(
    r"/apis/batch/v1/namespaces/(?P<namespace>[^/]+)/(?P<resource>jobs|cronjobs)(/(?P<name>[^/]+))?"
)


@contextmanager
def running(fake: FakeKubernetes, tls: ssl.SSLContext | None = None) -> Iterator[FakeKubernetes]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    if tls:
        # The handshake is done where the request is read, not where connections are accepted.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    fake.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        fake.close()
        server.shutdown()
        server.server_close()


def _handler(fake: FakeKubernetes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self._lets_in("create"):
                self._send(*fake.create(body))

        def do_GET(self) -> None:
            query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            name = query.get("fieldSelector", "").removeprefix("metadata.name=")
            watches = query.get("watch", "").lower() == "true"
            request = self._lets_in("watch" if watches else "list", name)
            if request is None:
                return
            if request.verb == "get":
                self._send(*fake.get(request.resource, request.name))
            elif watches:
                self._watch(int(query["resourceVersion"]), name or None)
            else:
                self._send(*fake.list_jobs(name or None))

        def _lets_in(self, verb: str, selected: str = "") -> Request | None:
            """The request, None if it has been answered: refused, or failed as a test has it."""
            found = _PATH.fullmatch(urlsplit(self.path).path)
            if found is None:
                self._send(404, status(404, "the server could not find the requested resource"))
                return None
            name = found["name"] or selected
            request = Request("get" if found["name"] else verb, found["resource"], found["namespace"], name)
            refusal = fake.refusal(fake.rights.user_of(self.headers["Authorization"]), request)
            if refusal:
                self._send(*refusal)
            return None if refusal or self._fails(request.verb) else request

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
                self._send(failure.status, status(failure.status, failure.message), failure.headers)
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
