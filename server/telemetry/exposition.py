# ruff: noqa: N802 - the methods are named as http.server wants them
"""/metrics over HTTP, from threads of its own: no call waits for a scraper, and no scraper for a call."""

import logging
import socket
import socketserver
import sys
from http.server import HTTPServer
from threading import BoundedSemaphore, Thread
from typing import Any, Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, MetricsHandler

logger = logging.getLogger(__name__)

PATHS: Final = ("/", "/metrics")
SCRAPER_TIMEOUT_S: Final = 10.0
"""How long a scraper may take to say what it wants, and to take some of the answer."""
MAX_CONNECTIONS: Final = 16


def serve(registry: CollectorRegistry, host: str, port: int) -> int:
    """Returns the port's number. Raises OSError when it cannot be bound."""
    handler = type("Handler", (_Handler,), {"registry": registry})
    server = _Server(host, port, handler)
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_address[1])


class _Handler(MetricsHandler):
    timeout = SCRAPER_TIMEOUT_S

    def do_GET(self) -> None:
        if urlsplit(self.path).path in PATHS:
            super().do_GET()
        else:
            self.send_error(404, explain="The metrics are at /metrics.")

    def do_HEAD(self) -> None:
        self.send_response(200 if urlsplit(self.path).path in PATHS else 404)
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
