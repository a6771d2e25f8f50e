"""The server's side of a compute process: starts it, talks to it, starts it again when it died or hangs."""

import asyncio
import json
import logging
from typing import Any, Final

from fovea.errors import FoveaError
from server.compute import wire
from server.compute.connection import Connection
from server.compute.wire import ProcessSettings
from server.compute.work_item import Task
from server.queue.worker import Batch, Computed, Owner, WorkerDied

logger = logging.getLogger(__name__)

RESTART_AFTER_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses before a process that died is started again, by how often it did so without computing anything."""

HANGS_AFTER_S: Final = 30.0
HANGS_AFTER_TIMES: Final = 20
"""A batch that takes longer than both, the latter by what was expected, is taken for one that never ends."""


class ProcessWorker:
    """Images -> probabilities, in a process. Belongs to the event loop that it is made in."""

    def __init__(self, settings: ProcessSettings) -> None:
        self._settings = settings
        self._owner: Owner[bytes | Task] | None = None
        self._batch: Batch[bytes | Task] | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._connection: Connection | None = None
        self._is_ending = False
        self._restarts = 0
        self._restarting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, None while there is none."""
        return None if self._connection is None else self._connection.pid

    async def open(self) -> dict[str, Any]:
        """Starts the process and waits until its model is warm; returns what its warm-up saw.

        Raises BundleInvalid or Unavailable, as the process found.
        """
        self._connection = connection = Connection(self)
        try:
            return await connection.open(self._settings)
        except BaseException:
            self._connection = None
            await connection.close()
            raise

    def attach(self, owner: Owner[bytes | Task]) -> None:
        self._owner = owner
        if self._connection is not None:
            owner.available(self)
        else:  # it died since it was opened
            owner.lost(self)
            self._restart_soon()

    def start(self, batch: Batch[bytes | Task]) -> None:
        assert self._connection is not None  # noqa: S101 - it is not available otherwise
        self._batch = batch
        limit_s = max(HANGS_AFTER_S, HANGS_AFTER_TIMES * batch.expected_s)
        self._overdue = asyncio.get_running_loop().call_later(limit_s, self._hangs)
        images = [item.payload for item in batch.items]
        self._connection.send(wire.batch_frame(images, batch.is_alone))

    async def end(self) -> None:
        self._is_ending = True
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        self._finish(WorkerDied("the server has given up the batch"))

    def received(self, kind: bytes, content: bytes) -> None:
        """A frame from the process, after it was ready."""
        self._restarts = 0
        if kind == wire.RESULT:
            self._finish(wire.read_result(content, self._settings.classes))
        else:
            self._finish(RuntimeError(json.loads(content)))
        if self._owner is not None:
            self._owner.available(self)

    def lost(self) -> None:
        """The process has left, though nobody ended it."""
        self._connection = None
        if self._is_ending or self._owner is None:  # `attach` sees to it in the latter case
            return
        self._owner.lost(self)
        self._finish(WorkerDied("the process that computed it died"))
        self._restart_soon()

    def _finish(self, result: Computed | Exception) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
        batch, self._batch = self._batch, None
        if batch is not None and self._owner is not None:
            self._owner.finished(batch, result)

    def _hangs(self) -> None:
        logger.error("a compute process hangs and is ended", extra={"pid": self.pid})
        if self._connection is not None:
            self._connection.kill()

    def _restart_soon(self) -> None:
        self._restarting = asyncio.create_task(self._restart())

    async def _restart(self) -> None:
        while self._connection is None:
            await asyncio.sleep(RESTART_AFTER_S[min(self._restarts, len(RESTART_AFTER_S) - 1)])
            self._restarts += 1
            try:
                await self.open()
            except Exception as error:  # whatever a machine in need gives as its reason
                unforeseen = None if isinstance(error, FoveaError) else error
                reason = {"reason": str(error)}
                logger.error("a compute process does not start again", extra=reason, exc_info=unforeseen)
        logger.info("a compute process was started again", extra={"pid": self.pid})
        if self._owner is not None:
            self._owner.available(self)
