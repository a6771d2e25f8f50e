"""A front: a process that speaks gRPC on the port that it shares, and has its images computed by the server.

`python -m server.fronts.process front FD` ends when the server closes the socket, however the server ended.
"""

if __name__ == "__main__":
    import signal

    # Before anything that takes time: the server alone decides when this process ends.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    from server.fronts.process import main as run

    run()
    raise SystemExit

import asyncio
import json
import logging
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from fovea import tracing
from fovea.errors import FoveaError
from fovea.malloc import return_large_blocks, share_one_heap
from server.access.access import access_of
from server.compute.own_end import end_with_the_server, name_itself
from server.config import TRACED_AS, ServeSettings
from server.fronts import frames
from server.fronts.arena import Arena, size_of_arena
from server.fronts.call_server import CallServer, DoorPorts
from server.fronts.frames import Link
from server.fronts.idle import IdleSelector
from server.fronts.page import Page, SharedCallMetrics, SharedLedger
from server.fronts.remote import Owner, RemoteModel, RemoteVersions
from server.fronts.told import LiveModel, ToldSecond, error_to_json
from server.models.catalogue import Catalogue
from server.models.folders import name_of
from server.net.health import Health
from server.net.tls import certificates_of
from server.queue.priorities import Admission
from server.telemetry.log_queue import QueuedLog, set_up_log

logger = logging.getLogger(__name__)

NAME: Final = "front"
TRACES_END_S: Final = 1.0
"""The server waits a little longer for the end of a front."""


@dataclass(frozen=True)
class SetUp:
    """What a front is told first."""

    settings: dict[str, Any]
    """What is given of ServeSettings, as JSON has it."""
    ports: DoorPorts
    front: int
    """Which of them it is, from 0."""
    fronts: int


def main() -> None:
    """`front FD`, where the other end of the socket is the server's."""
    end_with_the_server()
    name_itself(NAME)
    server = socket.socket(fileno=int(sys.argv[2]))
    told = _receive(server)
    if told is None:
        return
    set_up, descriptor, page = told
    settings = ServeSettings(**set_up.settings)
    share_one_heap()
    return_large_blocks()
    log = set_up_log(settings.log_level, settings.log_format)
    tracing.set_up(TRACED_AS)
    size = size_of_arena(settings.queue_capacity, settings.max_inflight_bytes)
    try:
        arena = Arena(descriptor, size)
    except ValueError:  # it is shorter: the server has ended meanwhile, or has given this front up
        return
    selector = IdleSelector()
    front = Front(set_up, settings, arena, Page(page, set_up.fronts), log, selector)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(front.answer(server))


class Front:
    """The services, and what the server tells of the model, of health and of the end."""

    def __init__(
        self,
        set_up: SetUp,
        settings: ServeSettings,
        arena: Arena,
        page: Page,
        log: QueuedLog,
        selector: IdleSelector,
    ) -> None:
        self._selector = selector
        self._set_up = set_up
        self._settings = settings
        self._arena = arena
        self._page = page
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: dict[str, Any] = {"all": False, "models": []}
        """Of health."""

    async def answer(self, server: socket.socket) -> None:
        """Until the server ends, and this process with it."""
        settings, number = self._settings, self._set_up.front
        self._health = Health()
        self._models: Catalogue[RemoteModel] = Catalogue(settings.default_model)
        for folder in settings.models:
            self._models.add(name_of(folder))
        self._owner = Owner(self._arena, self._page)
        ledger = SharedLedger(self._page, number)
        limits = settings.queue_capacity, settings.max_inflight_bytes
        admission = Admission(*limits, ledger, self._models.count if settings.has_several else None)
        loop = asyncio.get_running_loop()
        link = Link(self._received, self._end, self._selector.when_idle)
        try:
            self._door = CallServer(
                settings,
                certificates_of(settings),
                access_of(settings),
                self._models.for_calls(several=settings.has_several),
                RemoteVersions(self._owner),
                admission,
                self._health,
                SharedCallMetrics(self._page, number),
                shares_port=True,
            )
            await self._door.open(self._set_up.ports)
            await self._door.has_opened()
            opened: dict[str, Any] = {}
        except FoveaError as error:
            opened = {"error": error_to_json(error)}
        server.setblocking(False)
        await loop.create_unix_connection(lambda: link, sock=server)
        self._owner.link = link
        link.send_json(frames.OPENED, opened)
        await loop.create_future()

    def _received(self, kind: bytes, content: memoryview) -> None:
        if kind == frames.ANSWER:
            self._owner.answered(content)
        elif kind == frames.REFUSED:
            self._owner.refused(content)
        elif kind == frames.GONE:
            self._owner.gone(content)
        elif kind == frames.REPLY:
            self._owner.replied(content)
        elif kind == frames.READY:
            self._told = frames.from_json(content)
            self._show_readiness()
            self._owner.send(frames.HEARD)
        elif kind == frames.MODEL:
            self._begin(self._take_live(LiveModel.model_validate_json(bytes(content))))
        elif kind == frames.SECOND:
            self._begin(self._take_second(ToldSecond.model_validate_json(bytes(content))))
        elif kind == frames.ADDED:
            self._models.folder(bytes(content).decode())
        elif kind == frames.REMOVED:
            self._begin(self._remove(bytes(content).decode()))
        else:
            self._begin(self._drain(*frames.SECONDS.unpack(content)))

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_live(self, live: LiveModel) -> None:
        """New calls go to it; the server hears when the one before has no calls any more."""
        loaded = self._models.folder(live.name)
        loaded.swap(RemoteModel(live, self._owner))
        self._show_readiness()
        self._owner.send(frames.LIVE, frames.NUMBER.pack(live.generation))
        await loaded.close_replaced()

    async def _take_second(self, told: ToldSecond) -> None:
        """As `_take_live`, of the version beside the current one."""
        loaded = self._models.folder(told.name)
        live, second = told.live, loaded.second
        if live is None or second is None or second.generation != live.generation:
            loaded.drop_second()
            if live is not None:
                loaded.put_second(RemoteModel(live, self._owner))
        if live is not None:
            loaded.share(told.percent)
        await loaded.close_replaced()

    async def _remove(self, name: str) -> None:
        if name in self._models.folders:
            loaded = self._models.remove(name)
            self._show_readiness()
            await loaded.close_unused()

    def _show_readiness(self) -> None:
        """What the server says, of the models that are here."""
        here = {model.contract.name for model in self._models.live}
        self._health.set_ready(self._told["all"], here.intersection(self._told["models"]))

    async def _drain(self, grace_s: float) -> None:
        drained = await self._door.drain(grace_s)
        self._owner.send(frames.DRAINED, bytes([drained]))

    def _end(self) -> NoReturn:
        """The server has: callers hear it from the kernel, which closes their connections."""
        tracing.shut_down(TRACES_END_S)
        self._log.flush()
        os._exit(0)


def _receive(server: socket.socket) -> tuple[SetUp, int, int] | None:
    """What the front is told, the arena's descriptor and the page's; None where the server has ended."""
    header, descriptors, _, _ = socket.recv_fds(server, frames.HEADER.size, 2)
    if len(header) < frames.HEADER.size or len(descriptors) < 2:
        return None
    _, length = frames.HEADER.unpack(header)
    content = server.recv(length, socket.MSG_WAITALL)
    if len(content) < length:
        return None
    arena, page = descriptors
    told = json.loads(content)
    return SetUp(**{**told, "ports": DoorPorts(*told["ports"])}), arena, page
