"""HTTP's port is there at once, and answers when what answers is loaded."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web

from server.config import ServeSettings
from server.fronts import http_door
from server.fronts.http_door import HttpDoor
from server.http.server import HttpServer
from server.net.ports import listen_http
from tests.server.event_loop import all_has_run, in_event_loop

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def answer(_: web.Request) -> web.Response:
    return web.Response(body=b"there")


def door() -> HttpDoor:
    settings = ServeSettings(models="unused", host="127.0.0.1")
    return HttpDoor(settings, lambda: HttpServer(lambda router: router.add_get("/", answer)))


@contextmanager
def loading(load: Callable[[str], object]) -> Iterator[None]:
    """In the place of the import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_door, "import_module", load)
        yield


@in_event_loop
async def test_who_calls_before_http_is_loaded_waits_and_is_answered() -> None:
    gate = threading.Event()
    with loading(lambda _: gate.wait(20)):
        opening = door()
        reader, writer = await asyncio.open_connection("127.0.0.1", opening.listen(0))
        writer.write(REQUEST)
        has_opened = asyncio.create_task(opening.has_opened())
        await all_has_run()
        assert not has_opened.done()
        gate.set()
        await has_opened
        assert (await reader.read()).endswith(b"there")
        writer.close()
        await opening.close()


@in_event_loop
async def test_a_server_that_ends_meanwhile_gives_the_port_back() -> None:
    gate = threading.Event()
    with loading(lambda _: gate.wait(20)):
        opening = door()
        port = opening.listen(0)
        await opening.close()
        (again,) = listen_http("127.0.0.1", port)
        again.close()
        gate.set()


@in_event_loop
async def test_what_hinders_the_load_is_told_to_who_waits_for_it() -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError(name="aiohttp")

    with loading(missing):
        opening = door()
        port = opening.listen(0)
        with pytest.raises(ModuleNotFoundError):
            await opening.has_opened()
        await opening.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
