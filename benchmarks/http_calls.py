"""The least that an HTTP caller can be: one connection, kept open, one POST at a time, no library."""

import asyncio
import socket
from typing import Final

HEAD_END: Final = b"\r\n\r\n"


class CallFailed(Exception):
    """The answer was not 200."""


def post(path: str, image: bytes) -> bytes:
    """A request with the image as its body."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n"
    return head.encode() + image


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class BlockingConnection:
    """For a caller that waits, as most do."""

    def __init__(self, target: str, timeout_s: float) -> None:
        host, _, port = target.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, request: bytes) -> None:
        """Raises CallFailed, OSError."""
        self._socket.sendall(request)
        received = b""
        while (status := whole_answer(received)) is None:
            received += self._receive()
        raise_unless_ok(status)

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        if not (data := self._socket.recv(65536)):
            raise ConnectionResetError("closed by the server")
        return data


class Connection(asyncio.Protocol):
    """For one of many callers in an event loop."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, target: str) -> "Connection":
        host, _, port = target.rpartition(":")
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        return connection

    async def call(self, request: bytes, timeout_s: float) -> None:
        """Raises CallFailed, OSError, TimeoutError."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(timeout_s):
            raise_unless_ok(await self._answer)

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if (status := whole_answer(self._received)) is not None:
            self._received = b""
            if self._answer and not self._answer.done():
                self._answer.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed by the server"))


def whole_answer(received: bytes) -> bytes | None:
    """The status of an answer that has come in whole; None while it has not."""
    head, end, body = received.partition(HEAD_END)
    if not end:
        return None
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    return lines[0].split(b" ")[1] if len(body) >= length else None


def raise_unless_ok(status: bytes) -> None:
    if status != b"200":
        raise CallFailed(status.decode())
