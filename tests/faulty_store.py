"""A proxy in front of an S3 endpoint that does to chosen requests what stores do on bad days."""

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

PATIENCE_S: Final = 60
ALWAYS: Final = 10**9


@dataclass(frozen=True)
class StoreReply:
    """What the store behind the proxy answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


Fault = Callable[["_Handler"], None]


@dataclass
class _Rule:
    method: str
    path: re.Pattern[str]
    fault: Fault
    times: int


@dataclass
class FaultyStore:
    """Passes everything on until it is told otherwise. `requests` came so far, each as "GET /bucket/key"."""

    url: str
    requests: list[str] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released by each request that meets a fault."""
    closing: threading.Event = field(default_factory=threading.Event)
    _rules: list[_Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, method: str, path: str, fault: Fault, times: int = ALWAYS) -> None:
        """From here on, the next so many requests whose path matches the expression meet the fault."""
        with self._lock:
            self._rules.append(_Rule(method, re.compile(path), fault, times))

    def heal(self) -> None:
        """Passes everything on again; faults that nobody has waited for are forgotten."""
        with self._lock:
            self._rules.clear()
        while self.arrived.acquire(blocking=False):
            pass

    def wait_for_fault(self) -> None:
        assert self.arrived.acquire(timeout=PATIENCE_S), "no request came that was to meet a fault"

    def count(self, method: str, path: str) -> int:
        return sum(re.search(path, seen) is not None for seen in self.requests if seen.startswith(method))

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append(f"{method} {path}")
            for rule in self._rules:
                if rule.times > 0 and rule.method == method and rule.path.search(path):
                    rule.times -= 1
                    return rule.fault
        return None


def refused(status: int, code: str = "SlowDown") -> Fault:
    """Answers so instead of the store."""
    body = f"<Error><Code>{code}</Code><Message>later</Message></Error>".encode()
    return lambda handler: handler.send(StoreReply(status, [("Content-Type", "application/xml")], body))


def hung(handler: "_Handler") -> None:
    """Never answers, and hangs up when the test ends."""
    handler.store.closing.wait()
    handler.close_connection = True


def dropped(handler: "_Handler") -> None:
    """Hangs up without an answer, as a machine does on which no store listens."""
    handler.close_connection = True


def slow_by(event: threading.Event) -> Fault:
    """Answers as the store does, but not before the event."""

    def fault(handler: "_Handler") -> None:
        event.wait(PATIENCE_S)
        handler.send(handler.forward())

    return fault


def cut_short(handler: "_Handler") -> None:
    """Half of the body, and the connection is gone."""
    answer = handler.forward()
    handler.send(answer, answer.body[: len(answer.body) // 2], promised=len(answer.body))
    handler.close_connection = True


def shortened(handler: "_Handler") -> None:
    """Half of the body, as if that were all of it."""
    answer = handler.forward()
    handler.send(answer, answer.body[: len(answer.body) // 2])


def unconditional(handler: "_Handler") -> None:
    """Knows no conditions, and overwrites what is there."""
    del handler.headers["If-None-Match"]
    handler.send(handler.forward())


@contextmanager
def faulty_store(behind: str) -> Iterator[FaultyStore]:
    """A proxy on a free port of 127.0.0.1 before the endpoint with the URL `behind`."""

    class Handler(_Handler):
        endpoint = urlsplit(behind).netloc

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        store = FaultyStore(f"http://127.0.0.1:{server.server_address[1]}")
        Handler.store = store
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield store
        finally:
            store.closing.set()
            server.shutdown()
            thread.join()
            server.block_on_close = False  # a caller that was killed may have left its connection open


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store: FaultyStore
    endpoint: str

    def handle_request(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        try:
            fault = self.store.fault_for(self.command, self.path)
            if fault is None:
                self.send(self.forward())
            else:
                self.store.arrived.release()
                fault(self)
        except OSError:  # the caller is gone, as the tests want it
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_request  # noqa: N815 - http.server's names

    def forward(self) -> StoreReply:
        connection = http.client.HTTPConnection(self.endpoint, timeout=PATIENCE_S)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, self.body, headers)
            response = connection.getresponse()
            return StoreReply(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def send(self, answer: StoreReply, body: bytes | None = None, promised: int | None = None) -> None:
        sent = answer.body if body is None else body
        length = len(sent) if promised is None else promised
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
            elif name.lower() == "content-length" and self.command == "HEAD":
                length = int(value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else sent)

    def log_message(self, *_: object) -> None:
        pass
