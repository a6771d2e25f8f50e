"""The server's side of a compute process: starts it, talks to it, starts it again when it died or hangs."""

import asyncio
import logging
import signal
import socket
from collections import deque
from contextlib import suppress
from typing import Final, Protocol, cast

from fovea.errors import BundleInvalid, Unavailable
from server.background import in_background
from server.compute import wire
from server.compute.backend import WorkItem
from server.compute.child import Child
from server.compute.restarts import Restarts
from server.compute.start_up import ProcessReady, ProcessRefusal, ProcessSettings, to_json
from server.compute.template import TEMPLATE
from server.queue.worker import Batch, Computed, Owner, WorkerDied

logger = logging.getLogger(__name__)

HANGS_AFTER_S: Final = 30.0
HANGS_AFTER_TIMES: Final = 20
"""A batch that takes longer than both, the latter by what was expected, is taken for one that never ends."""

SPARE_HANGS_AFTER_S: Final = 600.0
"""Of a process that computes only where nothing else would: it may wait for long."""

SEND_BUFFER_BYTES: Final = 1024 * 1024
"""A batch of photographs; the kernel may allow less."""
OPEN_WITHIN_S: Final = 600.0


class ProcessWorker:
    """Images -> probabilities, in a process. Belongs to the event loop that it is made in."""

    capacity = 2
    """The second batch waits in the socket."""

    def __init__(self, settings: ProcessSettings) -> None:
        self._settings = settings
        self._owner: Owner[WorkItem] | None = None
        self._batches: deque[Batch[WorkItem]] = deque()
        """The first is computed."""
        self._overdue: asyncio.TimerHandle | None = None
        self._connection: Connection | None = None
        self._is_ending = False
        self._reads_arenas = False
        self._restarts = Restarts()
        self._restarting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, None while there is none."""
        return None if self._connection is None else self._connection.pid

    async def open(self) -> ProcessReady:
        """Starts the process and waits until its model is warm; returns what it says then.

        Raises BundleInvalid or Unavailable, as the process found.
        """
        self._connection = connection = Connection(self)
        try:
            ready = await connection.open(self._settings)
        except BaseException:
            self._connection = None
            await connection.close()
            raise
        self._reads_arenas = ready.reads_arenas
        self._settings = self._settings.measured(ready)  # for when it is started again
        return ready

    def attach(self, owner: Owner[WorkItem]) -> None:
        self._owner = owner
        if self._connection is not None:
            owner.available(self)
        else:  # it died since it was opened
            owner.lost(self)
            self._restart_soon()

    def start(self, batch: Batch[WorkItem]) -> None:
        assert self._connection is not None  # noqa: S101 - it is not available otherwise
        self._batches.append(batch)
        if len(self._batches) == 1:
            self._watch(batch)
        items = [item.payload for item in batch.items]
        self._connection.send(wire.batch_frame(items, batch.is_alone, by_place=self._reads_arenas))

    async def end(self) -> None:
        self._is_ending = True
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        self._lose(WorkerDied("the server has given up the batch"))

    def received(self, kind: bytes, content: bytes) -> None:
        """A frame from the process, after it was ready."""
        self._restarts.count = 0
        if kind == wire.RESULT:
            self._finish(wire.read_result(content))
        else:
            self._finish(RuntimeError(content.decode()))

    def lost(self) -> None:
        """The process has left, though nobody ended it."""
        self._connection = None
        if self._is_ending or self._owner is None:  # `attach` sees to it in the latter case
            return
        self._owner.lost(self)
        self._lose(WorkerDied("the process that computed it died"))
        self._restart_soon()

    def _finish(self, result: Computed | Exception) -> None:
        batch = self._batches.popleft()
        self._watch(self._batches[0] if self._batches else None)
        if self._owner is not None:
            self._owner.finished(batch, result)

    def _lose(self, cause: WorkerDied) -> None:
        """All that it has, the last one first: that was not begun."""
        self._watch(None)
        while self._batches:
            batch = self._batches.pop()
            if self._owner is not None:
                self._owner.finished(batch, cause)

    def _watch(self, batch: Batch[WorkItem] | None) -> None:
        """From now on it takes so long."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if batch is not None:
            least_s = SPARE_HANGS_AFTER_S if self._settings.is_spare else HANGS_AFTER_S
            limit_s = max(least_s, HANGS_AFTER_TIMES * batch.expected_s)
            self._overdue = asyncio.get_running_loop().call_later(limit_s, self._hangs)

    def _hangs(self) -> None:
        logger.error("a compute process hangs and is ended", extra={"pid": self.pid})
        if self._connection is not None:
            self._connection.kill()

    def _restart_soon(self) -> None:
        self._restarting = asyncio.create_task(self._restart())

    async def _restart(self) -> None:
        while self._connection is None:
            await self._restarts.open_again(self.open)
        logger.info("a compute process was started again", extra={"pid": self.pid})
        if self._owner is not None:
            self._owner.available(self)


class Listener(Protocol):
    """Whom a process answers; is told in the event loop."""

    def received(self, kind: bytes, content: bytes) -> None:
        """A frame from the process, after it was open."""

    def lost(self) -> None:
        """The process has left, though nobody ended it."""


class Connection(asyncio.Protocol):
    """One process and the socket to it; tells its listener of each frame, and once when it has left."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[ProcessReady] = self._loop.create_future()
        self._received = bytearray()
        self._socket: socket.socket | None = None
        self._transport: asyncio.Transport | None = None
        self._process: Child | None = None
        self._is_closing = False
        self._reaping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def open(self, settings: ProcessSettings) -> ProcessReady:
        """Returns what the process says when its model is warm. Raises BundleInvalid, Unavailable."""
        await self._start()
        assert self._transport is not None  # noqa: S101 - it has started
        self._transport.write(wire.frame(wire.SET_UP, to_json(settings)))
        try:
            return await asyncio.wait_for(self._ready, OPEN_WITHIN_S)
        except TimeoutError:
            raise Unavailable(f"a compute process is not ready after {OPEN_WITHIN_S:.0f} s") from None

    async def open_empty(self) -> None:
        """Without any model. Raises Unavailable."""
        await self._start()
        self._ready.cancel()  # nobody waits for it

    async def _start(self) -> None:
        try:
            await in_background(TEMPLATE.load)
            self._socket, self._process = _start()
        except OSError as error:
            raise Unavailable(f"a compute process cannot be started: {error.strerror}") from error
        self._transport, _ = await self._loop.create_unix_connection(lambda: self, sock=self._socket)

    def send(self, parts: list[bytes | memoryview]) -> None:
        """What the kernel takes at once is not copied here."""
        assert self._socket and self._transport  # noqa: PT018, S101 - it is open
        sent = 0
        if not self._transport.get_write_buffer_size():  # of the batch before
            with suppress(OSError):  # full, or gone, which the transport will tell
                sent = self._socket.sendmsg(parts)
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
        if self._ready.done():
            self._listener.received(kind, content)
        elif kind == wire.READY:
            self._ready.set_result(ProcessReady.from_json(content))
        else:
            self._ready.set_exception(ProcessRefusal.from_json(content).error())

    async def _reap(self) -> None:
        code = await in_background(cast("Child", self._process).wait)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if self._ready.done():
            logger.error("a compute process died", extra={"pid": self.pid, "how": how})
            return
        # A model can crash its runtime; but it is not its fault when the machine has no room for it.
        failure = Unavailable if how in {"SIGKILL", "exit code 0"} else BundleInvalid
        self._ready.set_exception(failure(f"the compute process ended as it started ({how})"))


def _start() -> tuple[socket.socket, Child]:
    """Takes a few milliseconds; in another thread it could outlive whoever gives up waiting for it."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            return ours, TEMPLATE.start(theirs)
        except BaseException:
            ours.close()
            raise
