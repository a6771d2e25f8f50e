"""One of the processes of a pool: has several models, and does one thing after the other."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from fovea.errors import FoveaError, Unavailable
from server.compute import wire
from server.compute.process_worker import (
    HANGS_AFTER_S,
    HANGS_AFTER_TIMES,
    OPEN_WITHIN_S,
    Connection,
)
from server.compute.restarts import Restarts
from server.compute.start_up import ProcessReady, ProcessRefusal, ProcessSettings, to_json

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """What the process is to do, and answers with one frame."""

    parts: list[bytes | memoryview]
    expected_s: float
    """Infinite where that is not known."""
    limit_s: float
    """What takes longer never ends."""
    answered: Callable[[bytes, bytes], None]
    """Is told the kind and the content of the answer."""
    lost: Callable[[bool], None]
    """Or that the process died, and whether it was at this."""


class Pool(Protocol):
    """Whom a seat belongs to; is told in the event loop."""

    def settings_of(self, seat: "Seat") -> Iterable[ProcessSettings]:
        """The models that it has, when it starts again."""

    def died(self, seat: "Seat") -> None:
        """Before its jobs are told that they are lost."""

    def refused(self, seat: "Seat", slot: int, error: FoveaError) -> None:
        """Of the models that it is to have when it starts again, it cannot have this one."""

    def came_up(self, seat: "Seat") -> None:
        """It is there, with its models."""

    def has_room(self, seat: "Seat") -> None:
        """It has done a job."""


class Seat:
    """Belongs to the event loop that it is made in."""

    def __init__(self, number: int, pool: Pool) -> None:
        self.number = number
        self._pool = pool
        self._connection: Connection | None = None
        self.jobs: deque[Job] = deque()
        """The first is being done; the process has the others in hand."""
        self.is_up = False
        self.reads_arenas = False
        self._restarts = Restarts()
        self._overdue: asyncio.TimerHandle | None = None
        self._began = 0.0
        """When the first of the jobs did."""
        self._is_ending = False
        self._restarting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._connection is None else self._connection.pid

    async def open(self) -> None:
        """Starts the process, and has it set up what the pool says. Raises Unavailable."""
        connection = Connection(self)
        try:
            await connection.open_empty()
            self._connection = connection  # not before: what is put away meanwhile need not be dropped here
            for settings in self._pool.settings_of(self):
                await self._set_up_again(settings)
        except BaseException:
            self._connection = None
            self._pool.died(self)
            self._lose_jobs()
            await connection.close()
            raise
        self.is_up = True
        self._pool.came_up(self)

    async def set_up(self, settings: ProcessSettings) -> ProcessReady:
        """After the jobs that it has. Raises what was wrong, Unavailable where the process died."""
        ready: asyncio.Future[ProcessReady] = asyncio.get_running_loop().create_future()

        def answered(kind: bytes, content: bytes) -> None:
            if ready.done():
                return
            if kind == wire.READY:
                ready.set_result(ProcessReady.from_json(content))
            else:
                ready.set_exception(ProcessRefusal.from_json(content).error())

        def lost(_: bool) -> None:
            if not ready.done():
                ready.set_exception(Unavailable("the compute process died as it loaded the model"))

        frame: list[bytes | memoryview] = [wire.frame(wire.SET_UP, to_json(settings))]
        self.give(Job(frame, math.inf, OPEN_WITHIN_S, answered, lost))
        result = await ready
        self.reads_arenas = result.reads_arenas
        return result

    async def _set_up_again(self, settings: ProcessSettings) -> None:
        """One that the process refuses does not end the others. Raises Unavailable where it died."""
        try:
            await self.set_up(settings)
        except FoveaError as error:
            if self._connection is None:
                raise
            self._pool.refused(self, settings.slot, error)

    def drop(self, slot: int) -> None:
        if self._connection is not None:
            self._connection.send([wire.frame(wire.DROP, wire.SLOT.pack(slot))])

    def give(self, job: Job) -> None:
        """Raises Unavailable where there is no process."""
        if self._connection is None:
            raise Unavailable("the compute process is being started again")
        self.jobs.append(job)
        if len(self.jobs) == 1:
            self._watch(job)
        self._connection.send(job.parts)

    def remaining_s(self, now: float) -> float:
        """Until its jobs are done, as far as is known of them."""
        expected = [job.expected_s for job in self.jobs if job.expected_s < math.inf]
        begun_s = now - self._began if self.jobs and self.jobs[0].expected_s < math.inf else 0.0
        return sum(expected) - min(begun_s, *expected[:1], math.inf)

    async def end(self) -> None:
        self._is_ending = True
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        connection, self._connection = self._connection, None
        self.is_up = False
        if connection is not None:
            await connection.close()
        self._lose_jobs()

    def received(self, kind: bytes, content: bytes) -> None:
        """See `Listener`."""
        if kind in {wire.RESULT, wire.FAILED}:  # it has computed, or tried to
            self._restarts.count = 0
        job = self.jobs.popleft()
        self._watch(self.jobs[0] if self.jobs else None)
        job.answered(kind, content)
        if self.is_up:
            self._pool.has_room(self)

    def lost(self) -> None:
        """See `Listener`."""
        was_up, self.is_up = self.is_up, False
        self._connection = None
        if self._is_ending:
            return
        if was_up:
            self._pool.died(self)
        self._lose_jobs()
        if was_up:  # else whoever opens it hears of it
            self.restart_soon()

    def restart_soon(self) -> None:
        """It is not there; after ever longer pauses it is tried to start it."""
        self._restarting = asyncio.create_task(self._restart())

    def _lose_jobs(self) -> None:
        """The last one first: that was not begun."""
        self._watch(None)
        while self.jobs:
            job = self.jobs.pop()
            job.lost(not self.jobs)

    def _watch(self, job: Job | None) -> None:
        """From now on it takes so long."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if job is not None:
            self._began = time.monotonic()
            self._overdue = asyncio.get_running_loop().call_later(job.limit_s, self._hangs)

    def _hangs(self) -> None:
        logger.error("a compute process hangs and is ended", extra={"pid": self.pid})
        if self._connection is not None:
            self._connection.kill()

    async def _restart(self) -> None:
        while not self.is_up:
            await self._restarts.open_again(self.open)
        logger.info("a compute process was started again", extra={"pid": self.pid})


def limit_s(expected_s: float) -> float:
    """Of a batch."""
    return max(HANGS_AFTER_S, HANGS_AFTER_TIMES * expected_s)
