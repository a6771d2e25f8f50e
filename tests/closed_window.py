"""A peer that asks and takes nothing: its HTTP/2 window is closed (RFC 9113, 6.5.2)."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_INITIAL_WINDOW_SIZE: Final = 4


@contextmanager
def asked_and_not_listening(port: int, method: str, message: bytes) -> Iterator[None]:
    """Sends one message to a method like `/package.Service/Method`; the answer cannot be sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
        peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        peer.sendall(_frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, 0)))
        peer.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        peer.sendall(_frame(_HEADERS, _END_HEADERS, 1, _headers(method)))
        peer.sendall(_frame(_DATA, _END_STREAM, 1, struct.pack(">BI", 0, len(message)) + message))
        _wait_for_headers(peer)
        yield


def _headers(method: str) -> bytes:
    """Each literal and not indexed (RFC 7541, 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def _wait_for_headers(peer: socket.socket) -> None:
    """The answer has begun, and its first message waits for a window that never opens."""
    with peer.makefile("rb") as received:
        kind = None
        while kind != _HEADERS:
            head = received.read(9)
            kind = head[3]
            received.read(int.from_bytes(head[:3]))
