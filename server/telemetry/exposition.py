# ruff: noqa: N802 - the methods are named as http.server wants them
"""/metrics over HTTP, from threads of its own: no call waits for a scraper, and no scraper for a call."""

import logging
import socket
import socketserver
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.server import HTTPServer
from threading import BoundedSemaphore, Thread
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, MetricsHandler

logger = logging.getLogger(__name__)

PATHS: Final = ("/", "/metrics")
SCRAPER_TIMEOUT_S: Final = 10.0
"""How long a scraper may take to say what it wants, and to take some of the answer."""
MAX_CONNECTIONS: Final = 16


class Guard(Protocol):
    """Knows who may see the metrics. Is asked in the scraper's thread."""

    def refusal(self, authorization: Sequence[str]) -> HTTPStatus | None:
        """What to end a scrape with that brings these headers; None where it may be answered."""


def serve(registry: CollectorRegistry, host: str, port: int, guard: Guard | None = None) -> int:
    """Returns the port's number. Without a guard anybody may see. Raises OSError when it cannot be bound."""
    handler = type("Handler", (_Handler,), {"registry": registry, "guard": guard})
    server = _Server(host, port, handler)
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_address[1])


class _Handler(MetricsHandler):
    timeout = SCRAPER_TIMEOUT_S
    guard: Guard | None

    def do_GET(self) -> None:
        if urlsplit(self.path).path not in PATHS:
            self.send_error(404, explain="The metrics are at /metrics.")
        elif refusal := self._refusal():
            self._end(refusal)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        is_known = urlsplit(self.path).path in PATHS
        self._end((self._refusal() or HTTPStatus.OK) if is_known else HTTPStatus.NOT_FOUND)

    def version_string(self) -> str:
        """Instead of Python's version."""
        return "Fovea"

    def _refusal(self) -> HTTPStatus | None:
        return self.guard.refusal(self.headers.get_all("Authorization", ())) if self.guard else None

    def _end(self, status: HTTPStatus) -> None:
        """Without a body."""
        self.send_response(status)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    """A thread for each connection, of which there are never many."""

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, host: str, port: int, handler: type[MetricsHandler]) -> None:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, _, _, _, address = addresses[0]
        self._room = BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((str(address[0]), port), handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the DNS for the host's full name, for which a pod may wait long.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # which is a scraper that went away
            logger.error("/metrics failed", exc_info=error)
