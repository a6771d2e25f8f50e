"""A front as its server keeps it: a real process, started, watched and ended by this one."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import grpc
import pytest
from grpc_health.v1 import health_pb2

from fovea.errors import Unavailable
from server.config import ServeSettings
from server.fronts import front
from server.fronts.fronts import Fronts
from server.fronts.page import Page
from server.models.served_model import LoadedModels, ServedModel
from server.models.watcher import Watcher
from server.net.health import Health
from tests.rpc import health_stub
from tests.server.event_loop import in_event_loop, until
from tests.servers import processes


@asynccontextmanager
async def one_front(**settings: object) -> AsyncIterator[tuple[Fronts, Health, int]]:
    """Before no model; with the port's number."""
    models: LoadedModels[ServedModel] = LoadedModels()
    watcher, health = cast("Watcher", SimpleNamespace(name="tiny")), Health()
    chosen = ServeSettings(**{"models": "unused", "host": "127.0.0.1", "port": 0, **settings})  # type: ignore[arg-type]
    fronts = Fronts(chosen, models, watcher, health, Page.create(1))
    port = await fronts.open()
    try:
        await fronts.has_opened()
        yield fronts, health, port
    finally:
        await fronts.close()


def fronts_of_this_process() -> list[int]:
    return processes(os.getpid(), "fovea-front")


def says_ready(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        request = health_pb2.HealthCheckRequest(service="")
        serving = health_pb2.HealthCheckResponse.SERVING
        return health_stub(channel).Check(request, timeout=30).status == serving


@in_event_loop
async def test_a_front_says_what_health_does_when_it_has_heard_and_leaves_with_its_server() -> None:
    async with one_front() as (fronts, health, port):
        for ready in (True, False):
            health.set_ready(ready)
            fronts.follow_health()
            await fronts.has_heard()
            assert says_ready(port) is ready
        assert await fronts.drain(1.0)
    assert fronts_of_this_process() == []


@in_event_loop
async def test_a_front_that_hangs_is_ended_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "HANGS_AFTER_S", 0.2)
    async with one_front() as (fronts, health, port):
        (hanging,) = fronts_of_this_process()
        os.kill(hanging, signal.SIGSTOP)
        health.set_ready(True)
        fronts.follow_health()
        await fronts.has_heard()
        monkeypatch.undo()
        await until(lambda: fronts_of_this_process() not in ([], [hanging]))
        await fronts.has_heard()
        assert says_ready(port)


@in_event_loop
async def test_what_hinders_a_front_ends_the_start() -> None:
    with pytest.raises(Unavailable, match="--port"):
        async with one_front() as (_, _, port), one_front(port=port):
            pass
    assert fronts_of_this_process() == []
