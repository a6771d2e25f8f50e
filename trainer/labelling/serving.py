"""The page, served to the browser of whoever started this program: on loopback, to who knows its token."""

import hmac
import json
import socketserver
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from fovea.errors import DataInvalid, FoveaError, Unavailable
from trainer.labelling.saving import Saved

HOST: Final = "127.0.0.1"
TIMEOUT_S: Final = 30.0
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a request's body."""
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@contextmanager
def listening(port: int, token: str, page: bytes, saved: Saved) -> Iterator["_Server"]:
    """A server that `serve_forever` of answers; 0 is a free port. Raises Unavailable where it is taken."""
    fields = {"token": token, "page": page, "saved": saved}
    try:
        server = _Server((HOST, port), type("Handler", (_Handler,), fields))
    except OSError as error:
        raise Unavailable(f"--port {port}: {error.strerror}") from error
    with server:
        yield server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S
    token: str
    page: bytes
    saved: Saved

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if not self._is_meant_for_us():
            return
        if address.path == "/" and self._knows(parse_qs(address.query).get("token", [""])[0]):
            self._answer(HTTPStatus.OK, self.page, "text/html; charset=utf-8")
        elif address.path == "/answers" and self._knows(self._bearer()):
            self._answer(HTTPStatus.OK, json.dumps(self.saved.answers()).encode(), "application/json")
        else:
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that the program said, with its token")

    def do_POST(self) -> None:
        if not self._is_meant_for_us():
            return
        if self.path != "/answers" or not self._knows(self._bearer()):
            self._refuse(HTTPStatus.FORBIDDEN, "the token is another: the program was started anew")
            return
        try:
            self.saved.change(_changes(self._body()))
        except FoveaError as error:
            is_bad = isinstance(error, DataInvalid)
            self._refuse(HTTPStatus.BAD_REQUEST if is_bad else HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        else:
            self._answer(HTTPStatus.NO_CONTENT)

    def _is_meant_for_us(self) -> bool:
        """Another name may be one of a page of elsewhere that leads to this machine (DNS rebinding)."""
        port = self.connection.getsockname()[1]
        if self.headers.get("Host", "").lower() in {f"{HOST}:{port}", f"localhost:{port}"}:
            return True
        self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this server is at 127.0.0.1 alone")
        return False

    def _knows(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())

    def _bearer(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > MOST_BYTES:
            raise DataInvalid(f"a body of up to {MOST_BYTES} bytes is wanted, with its length")
        return self.rfile.read(int(length))

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self.close_connection = True  # the body was perhaps not read
        self._answer(status, f"{text}\n".encode(), "text/plain; charset=utf-8")

    def _answer(self, status: HTTPStatus, body: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Instead of Python's version."""
        return "Fovea"

    def log_message(self, *args: Any) -> None:
        """Nothing: the page says what went wrong."""


class _Server(ThreadingHTTPServer):
    """A thread for each connection: a browser has a few."""

    daemon_threads = True

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def server_bind(self) -> None:
        # HTTPServer's own asks the DNS for the host's full name.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # which is a browser that went away
            super().handle_error(request, client_address)


def _changes(body: bytes) -> dict[str, str | None]:
    try:
        changes = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataInvalid(f"not JSON: {error}") from error
    if not isinstance(changes, dict) or not all(isinstance(each, str | None) for each in changes.values()):
        raise DataInvalid("an object of digests and labels is wanted")
    return changes
