"""One compute process and the socket to it, from its start to its end."""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from typing import Any, Final, Protocol, cast

from fovea.errors import BundleInvalid, Unavailable
from server.background import in_background
from server.compute import wire
from server.compute.wire import ProcessSettings

logger = logging.getLogger(__name__)

SEND_BUFFER_BYTES: Final = 1024 * 1024
"""A batch of photographs; the kernel may allow less."""
OPEN_WITHIN_S: Final = 600.0


class Listener(Protocol):
    """Whom a connection tells what its process says."""

    def received(self, kind: bytes, content: bytes) -> None:
        """A frame, after the process was ready."""

    def lost(self) -> None:
        """The process has left, though nobody closed the connection."""


class Connection(asyncio.Protocol):
    """Tells its listener of each frame, and once when the process has left."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._received = bytearray()
        self._socket: socket.socket | None = None
        self._transport: asyncio.Transport | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closing = False
        self._reaping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def open(self, settings: ProcessSettings) -> dict[str, Any]:
        """Returns what the process says when its model is warm. Raises BundleInvalid, Unavailable."""
        try:
            self._socket, self._process = _spawn()
        except OSError as error:
            raise Unavailable(f"a compute process cannot be started: {error.strerror}") from error
        self._transport, _ = await self._loop.create_unix_connection(lambda: self, sock=self._socket)
        self._transport.write(wire.json_frame(wire.SET_UP, asdict(settings)))
        try:
            return await asyncio.wait_for(self._ready, OPEN_WITHIN_S)
        except TimeoutError:
            raise Unavailable(f"a compute process is not ready after {OPEN_WITHIN_S:.0f} s") from None

    def send(self, parts: list[bytes | memoryview]) -> None:
        """What the kernel takes at once is not copied here."""
        assert self._socket and self._transport  # noqa: PT018, S101 - it is open
        try:
            sent = self._socket.sendmsg(parts)
        except OSError:  # full, or gone, which the transport will tell
            sent = 0
        if sent < sum(map(len, parts)):
            self._transport.write(b"".join(parts)[sent:])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def close(self) -> None:
        """Ends the process, which has nothing to save, and waits until it is gone."""
        self._is_closing = True
        self._ready.cancel()
        self.kill()
        if self._transport is not None:
            self._transport.abort()
        elif self._socket is not None:
            self._socket.close()
        if self._process is not None:
            await in_background(self._process.wait)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= wire.HEADER.size:
            kind, length = wire.HEADER.unpack_from(self._received)
            end = wire.HEADER.size + length
            if len(self._received) < end:
                return
            content = bytes(memoryview(self._received)[wire.HEADER.size : end])
            del self._received[:end]
            self._frame(kind, content)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_closing:
            return
        if self._ready.done():
            self._listener.lost()
        self._reaping = self._loop.create_task(self._reap())

    def _frame(self, kind: bytes, content: bytes) -> None:
        if kind == wire.READY:
            self._ready.set_result(json.loads(content))
        elif kind == wire.REFUSED:
            name, message = json.loads(content)
            self._ready.set_exception((Unavailable if name == "Unavailable" else BundleInvalid)(message))
        else:
            self._listener.received(kind, content)

    async def _reap(self) -> None:
        code = await in_background(cast("subprocess.Popen[bytes]", self._process).wait)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if self._ready.done():
            logger.error("a compute process died", extra={"pid": self.pid, "how": how})
            return
        # A model can crash its runtime; but it is not its fault when the machine has no room for it.
        failure = Unavailable if how in {"SIGKILL", "exit code 0"} else BundleInvalid
        self._ready.set_exception(failure(f"the compute process ended as it started ({how})"))


def _spawn() -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Takes a few milliseconds; in another thread it could outlive whoever gives up waiting for it."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            command = [sys.executable, "-m", "server.compute.compute_process", str(theirs.fileno())]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
            process = subprocess.Popen(  # noqa: S603
                command,
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                process_group=0,  # a terminal's Ctrl-C is the server's to handle
            )
        except BaseException:
            ours.close()
            raise
    return ours, process
