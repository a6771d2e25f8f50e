"""Requests over HTTP as any program can make them, and what comes back."""

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.servers import ServerProcess

PATIENCE_S: Final = 30
BOUNDARY: Final = "a-boundary"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connection_to(server: ServerProcess) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.ready["http_port"], timeout=PATIENCE_S)


def request(
    server: ServerProcess,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """On a connection of its own."""
    connection = connection_to(server)
    try:
        connection.request(method, path, body, dict(headers or {}))
        return answer_of(connection.getresponse())
    finally:
        connection.close()


def answer_of(response: http.client.HTTPResponse) -> Answer:
    return Answer(response.status, dict(response.getheaders()), response.read())


def post(server: ServerProcess, path: str, body: bytes, **headers: str) -> Answer:
    """`headers` with underscores for their dashes."""
    return request(
        server, "POST", path, body, {name.replace("_", "-"): text for name, text in headers.items()}
    )


def form(parts: Sequence[bytes], *, end: str = "--", extra: str = "") -> tuple[bytes, dict[str, str]]:
    """A multipart body, and the header that tells of it. `extra` are headers of each part."""
    disposition = f'Content-Disposition: form-data; name="image"\r\n{extra}\r\n'
    body = b"".join(f"--{BOUNDARY}\r\n{disposition}".encode() + part + b"\r\n" for part in parts)
    return body + f"--{BOUNDARY}{end}\r\n".encode(), {
        "Content_Type": f"multipart/form-data; boundary={BOUNDARY}"
    }
