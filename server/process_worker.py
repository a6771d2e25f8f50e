"""The server's side of a compute process: starts it, talks to it, starts it again when it died."""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

from fovea.errors import BundleInvalid, FoveaError, Unavailable
from server import wire
from server.background import in_background
from server.worker import Batch, Owner, WorkerDied

logger = logging.getLogger(__name__)

RESTART_AFTER_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses before a process that died is started again, by how often it did so without computing anything."""

SEND_BUFFER_BYTES: Final = 1024 * 1024
"""A batch of photographs; the kernel may allow less."""

END_WITHIN_S: Final = 2.0


@dataclass(frozen=True)
class ProcessSettings:
    """What a compute process is told."""

    bundle: str
    """The bundle's folder."""
    precision: str
    """May be auto."""
    model_cache: str
    """Where a choice of precision is remembered; the default cache if empty."""
    classes: int
    wide_threads: int
    """Cores of a lone image; 1 where another process does that."""
    max_batch_size: int
    enough_s: float
    max_bytes: int
    max_pixels: int


class ProcessWorker:
    """Encoded images -> probabilities, in a process. Belongs to the event loop that it is made in."""

    def __init__(self, settings: ProcessSettings) -> None:
        self._settings = settings
        self._owner: Owner[bytes] | None = None
        self._batch: Batch[bytes] | None = None
        self._connection: _Connection | None = None
        self._is_ending = False
        self._restarts = 0
        self._restarting: asyncio.Task[None] | None = None

    async def open(self) -> dict[str, Any]:
        """Starts the process and waits until its model is warm; returns what its warm-up saw.

        Raises BundleInvalid or Unavailable, as the process found.
        """
        self._connection = _Connection(self)
        return await self._connection.open(self._settings)

    @property
    def pid(self) -> int | None:
        """Of the process, None while there is none."""
        return None if self._connection is None else self._connection.pid

    def attach(self, owner: Owner[bytes]) -> None:
        self._owner = owner
        if self._connection is not None:
            owner.available(self)

    def start(self, batch: Batch[bytes]) -> None:
        self._batch = batch
        images = [item.payload for item in batch.items]
        if self._connection is not None:  # else it died this moment, and the batch is reported as failed
            self._connection.send(wire.batch_frame(images, batch.is_alone))

    async def end(self) -> None:
        self._is_ending = True
        if self._restarting is not None:
            self._restarting.cancel()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def received(self, kind: bytes, content: bytes) -> None:
        """A frame from the process, after it was ready."""
        self._restarts = 0
        if kind == wire.RESULT:
            self._finish(wire.read_result(content, self._settings.classes))
        else:
            self._finish(RuntimeError(json.loads(content)))
        if self._owner is not None:
            self._owner.available(self)

    def died(self, how: str) -> None:
        """The process is gone, though nobody ended it."""
        self._connection = None
        if self._is_ending or self._owner is None:
            return
        logger.error("a compute process died", extra={"how": how})
        self._owner.lost(self)
        self._finish(WorkerDied(f"the process that computed it died ({how})"))
        self._restarting = asyncio.create_task(self._restart())

    def _finish(self, result: Any) -> None:
        batch, self._batch = self._batch, None
        if batch is not None and self._owner is not None:
            self._owner.finished(batch, result)

    async def _restart(self) -> None:
        while self._connection is None:
            await asyncio.sleep(RESTART_AFTER_S[min(self._restarts, len(RESTART_AFTER_S) - 1)])
            self._restarts += 1
            try:
                await self.open()
            except FoveaError as error:
                self._connection = None
                logger.error("a compute process does not start again", extra={"reason": str(error)})
        if self._owner is not None:
            self._owner.available(self)


class _Connection(asyncio.Protocol):
    """One process, from its start to its end."""

    def __init__(self, worker: ProcessWorker) -> None:
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._closed = asyncio.Event()
        self._received = bytearray()
        self._transport: asyncio.Transport
        self._socket: socket.socket
        self._process: subprocess.Popen[bytes] | None = None

    async def open(self, settings: ProcessSettings) -> dict[str, Any]:
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._socket = ours
        with theirs:
            self._process = await in_background(lambda: _start(theirs))
        ours.setblocking(False)
        await self._loop.create_unix_connection(lambda: self, sock=ours)
        self._transport.write(wire.json_frame(wire.SET_UP, asdict(settings)))
        try:
            return await self._ready
        except BaseException:
            self._ready.cancel()
            self._transport.abort()
            raise

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def send(self, parts: list[bytes]) -> None:
        """What the kernel takes at once is never copied here."""
        try:
            sent = self._socket.sendmsg(parts)
        except OSError:  # full, or gone, which the transport will tell
            sent = 0
        if sent < sum(map(len, parts)):
            self._transport.write(b"".join(parts)[sent:])

    async def close(self) -> None:
        """The process ends by itself when it sees the end of the socket, unless it hangs."""
        self._transport.abort()
        try:
            await asyncio.wait_for(self._closed.wait(), END_WITHIN_S)
        except TimeoutError:
            if self._process is not None:
                self._process.kill()
            await self._closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

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
        self._loop.create_task(self._reap())

    def _frame(self, kind: bytes, content: bytes) -> None:
        if kind == wire.READY:
            self._ready.set_result(json.loads(content))
        elif kind == wire.REFUSED:
            name, message = json.loads(content)
            self._ready.set_exception(
                Unavailable(message) if name == "Unavailable" else BundleInvalid(message)
            )
        else:
            self._worker.received(kind, content)

    async def _reap(self) -> None:
        code = await in_background(self._process.wait) if self._process else 0
        self._closed.set()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if not self._ready.done():
            # A model can crash its runtime; but it is not its fault when the machine has no room for it.
            failure = Unavailable if how in {"SIGKILL", "exit code 0"} else BundleInvalid
            self._ready.set_exception(failure(f"the compute process ended as it started ({how})"))
        elif not self._ready.cancelled() and self._ready.exception() is None:
            self._worker.died(how)


def _start(theirs: socket.socket) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "server.compute_process", str(theirs.fileno())]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    return subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL)  # noqa: S603
