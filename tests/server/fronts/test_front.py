"""A front as its server keeps it: a real process, started, watched and ended by this one."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2

from fovea.errors import Unavailable
from server.compute import child, restarts
from server.compute.child import Child
from server.config import ServeSettings
from server.fronts import front, start
from server.fronts.fronts import Fronts
from server.fronts.page import Page
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel
from server.models.watchers import Watchers
from server.net.health import Health
from tests import programs
from tests.rpc import health_stub
from tests.server.event_loop import in_event_loop, until
from tests.servers import processes


@asynccontextmanager
async def one_front(
    *, opens: bool = True, starts_anew: bool = False, **settings: object
) -> AsyncIterator[tuple[Fronts, Health, int]]:
    """Before no model; with the port's number. Its libraries are loaded, unless it `starts_anew`."""
    models: Catalogue[ServedModel] = Catalogue()
    models.add("tiny")
    watchers, health = cast("Watchers", SimpleNamespace()), Health()
    usual = {"models": "unused", "host": "127.0.0.1", "port": 0, "http": False}
    chosen = ServeSettings(**{**usual, **settings})  # type: ignore[arg-type]
    fronts = Fronts(chosen, models, watchers, health, Page.create(1))
    with pytest.MonkeyPatch.context() as patch:
        if not starts_anew:
            patch.setattr(child, "start", start_loaded)
        port, _ = await fronts.open()
        try:
            if opens:
                await fronts.has_opened()
            yield fronts, health, port
        finally:
            await fronts.close()


def start_loaded(module: str, what: str, theirs: socket.socket) -> Child:
    number = theirs.fileno()
    return Child(programs.fork("server", module, what, str(number), pass_fds=[number]))


def fronts_of_this_process() -> list[int]:
    return processes(os.getpid(), "fovea-front")


def says_ready(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        request = health_pb2.HealthCheckRequest(service="")
        serving = health_pb2.HealthCheckResponse.SERVING
        return health_stub(channel).Check(request, timeout=30).status == serving


@in_event_loop
async def test_a_front_says_what_health_does_when_it_has_heard_and_leaves_with_its_server() -> None:
    async with one_front(starts_anew=True) as (fronts, health, port):
        for ready in (True, False):
            health.set_ready(ready)
            fronts.follow_health()
            await fronts.has_heard()
            assert says_ready(port) is ready
        assert await fronts.drain(1.0)
    assert fronts_of_this_process() == []


@in_event_loop
async def test_a_front_that_hangs_is_ended_though_nobody_had_anything_to_tell_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front, "ASKED_EVERY_S", 0.01)
    monkeypatch.setattr(front, "HANGS_AFTER_S", 1.0)
    async with one_front() as (fronts, health, port):
        (hanging,) = fronts_of_this_process()
        os.kill(hanging, signal.SIGSTOP)
        await until(lambda: hanging not in fronts_of_this_process())
        monkeypatch.undo()
        health.set_ready(True)
        fronts.follow_health()
        await until(lambda: fronts_of_this_process() != [])
        await fronts.has_heard()
        assert says_ready(port)


@in_event_loop
async def test_the_end_of_a_server_whose_fronts_still_start_goes_without_a_word(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with one_front(opens=False) as (fronts, _, _):
        opening = asyncio.create_task(fronts.has_opened())
        await until(lambda: fronts._fronts[0]._link is not None)
        opening.cancel()
        assert await fronts.drain(60.0)
        await asyncio.wait((opening,))
    assert fronts_of_this_process() == []
    assert capfd.readouterr().err == ""


class NoPauses(tuple[float, ...]):
    """It is known which they would have been."""

    def __init__(self, _: object) -> None:
        self.taken: list[Any] = []

    def __getitem__(self, index: Any) -> Any:
        self.taken.append(index)
        return 0.0


@in_event_loop
async def test_a_front_that_does_not_start_is_tried_again_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def cannot_start(*_: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    async with one_front() as (fronts, _, _):
        pauses = NoPauses(restarts.RESTART_AFTER_S)
        monkeypatch.setattr(restarts, "RESTART_AFTER_S", pauses)
        monkeypatch.setattr(front, "start_front", cannot_start)
        (pid,) = fronts_of_this_process()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: len(pauses.taken) > 9)
        assert not fronts.is_open
        assert pauses.taken[:9] == [0, 1, 2, 3, 4, 5, 6, 6, 6]
        reasons = {record.__dict__["reason"] for record in caplog.records if hasattr(record, "reason")}
        assert reasons == {"a front cannot be started: Cannot allocate memory"}
        monkeypatch.undo()
        await until(lambda: fronts.is_open)


@in_event_loop
async def test_a_front_that_hangs_cannot_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("DRAINS_LATE_S", "ENDS_WITHIN_S"):
        monkeypatch.setattr(front if hasattr(front, limit) else start, limit, 0.1)
    async with one_front() as (fronts, _, _):
        (hanging,) = fronts_of_this_process()
        os.kill(hanging, signal.SIGSTOP)
        assert not await fronts.drain(0.0)
    assert fronts_of_this_process() == []


class PauseInWhich(tuple[float, ...]):
    """A pause before a front is started again, at whose beginning something else begins."""

    begin: Callable[[], object]

    def __getitem__(self, index: Any) -> Any:
        self.begin()
        return super().__getitem__(index)


@in_event_loop
async def test_a_front_that_died_as_the_server_ends_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(front, "ASKED_EVERY_S", 0.01)
    caplog.set_level("INFO", front.logger.name)
    async with one_front() as (fronts, _, _):
        (only,) = fronts._fronts
        drained = asyncio.get_running_loop().create_future()

        def drain() -> None:
            draining = asyncio.ensure_future(fronts.drain(0.0))
            draining.add_done_callback(lambda done: drained.set_result(done.result()))

        pauses = PauseInWhich([0.5])
        pauses.begin = drain
        monkeypatch.setattr(restarts, "RESTART_AFTER_S", pauses)
        (pid,) = fronts_of_this_process()
        os.kill(pid, signal.SIGKILL)
        assert await drained, "nothing is left of one that is not there"
        await until(lambda: not only._tasks)
    assert caplog.messages == ["a front died"]


@in_event_loop
async def test_what_hinders_a_front_ends_the_start() -> None:
    with pytest.raises(Unavailable, match="--port"):
        async with one_front() as (_, _, port), one_front(port=port):
            pass
    assert fronts_of_this_process() == []
