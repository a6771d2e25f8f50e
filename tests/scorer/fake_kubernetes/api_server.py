"""The HTTP side: paths and queries in, objects and streams out."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.scorer.fake_kubernetes.cluster import FakeKubernetes
from tests.scorer.fake_kubernetes.statuses import Body, status


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
                self._send(404, status(404, "namespaces not found"))
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
