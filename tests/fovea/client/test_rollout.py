"""All kinds of callers of a headless Service, while its only server is replaced and another one joins it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fovea.client import AsyncClient, Client
from fovea.client.answers import Classification
from fovea.errors import FoveaError
from tests import tiny
from tests.dns_server import dns_server
from tests.servers import PATIENCE_S, ROOT, clean_environment, running_server

FOUND_WITHIN_S = 15
PAUSE_S = 0.03
AT_ONCE = 24
"""Calls of the caller for asyncio."""
IMAGES = 4000
"""Of the command; enough for two minutes."""
IMAGE = tiny.picture("red")


class Caller:
    """A thread that calls until `stop` is set: which versions answered, in order, and what failed."""

    def __init__(self, call: Callable[["Caller", str], None], target: str) -> None:
        self.name = call.__name__
        self.versions: list[int] = []
        self.failures: list[object] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=call, args=(self, target))
        self.thread.start()

    def note(self, outcome: Classification | FoveaError) -> None:
        if isinstance(outcome, FoveaError):
            self.failures.append(outcome)
        else:
            self.versions.append(outcome.model.version)

    def goes_on(self) -> bool:
        return not self.stop.wait(PAUSE_S)

    def images(self) -> Iterator[bytes]:
        while self.goes_on():
            yield IMAGE

    async def images_with_pauses(self) -> AsyncIterator[bytes]:
        while not self.stop.is_set():
            yield IMAGE
            await asyncio.sleep(PAUSE_S)

    def share_of(self, version: int) -> float:
        """Of the last forty answers."""
        return self.versions[-40:].count(version) / 40


def calls(caller: Caller, target: str) -> None:
    with Client(target) as client:
        for image in caller.images():
            try:
                caller.note(client.classify(image))
            except FoveaError as error:
                caller.note(error)


def many(caller: Caller, target: str) -> None:
    with Client(target) as client:
        for outcome in client.classify_many(caller.images()):
            caller.note(outcome)


def async_calls(caller: Caller, target: str) -> None:
    async def some(client: AsyncClient) -> None:
        while not caller.stop.is_set():
            try:
                caller.note(await client.classify(IMAGE))
            except FoveaError as error:
                caller.note(error)
            await asyncio.sleep(PAUSE_S * AT_ONCE)

    async def all_of_them() -> None:
        async with AsyncClient(target) as client:
            await asyncio.gather(*(some(client) for _ in range(AT_ONCE)))

    asyncio.run(all_of_them())


def async_many(caller: Caller, target: str) -> None:
    async def all_of_them() -> None:
        async with AsyncClient(target) as client:
            async for outcome in client.classify_many(caller.images_with_pauses()):
                caller.note(outcome)

    asyncio.run(all_of_them())


def command(caller: Caller, target: str) -> None:
    """Its files are pipes, so that it has an image whenever there is to be one."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
        pipes = [Path(folder, str(number)) for number in range(IMAGES)]
        for pipe in pipes:
            os.mkfifo(pipe)
        process = ends.enter_context(started_command(pipes, target))
        threading.Thread(target=feed, args=(caller, process, pipes), daemon=True).start()
        assert process.stdout is not None and process.stderr is not None  # noqa: PT018
        for line in process.stdout:
            answer = json.loads(line)
            if "error" in answer:
                caller.failures.append(answer)
            else:
                caller.versions.append(answer["model"]["version"])
        if (said := process.stderr.read()) != "interrupted\n":
            caller.failures.append(said)


def feed(caller: Caller, process: "subprocess.Popen[str]", pipes: list[Path]) -> None:
    for pipe, image in zip(pipes, caller.images(), strict=False):
        pipe.write_bytes(image)
    process.send_signal(signal.SIGINT)


@contextmanager
def started_command(images: list[Path], target: str) -> "Iterator[subprocess.Popen[str]]":
    program = [sys.executable, "-m", "fovea.client", *map(str, images), "--json", "--target", target]
    pipe, environment = subprocess.PIPE, clean_environment()
    with subprocess.Popen(program, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def three_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each server serves one of its own, so that every answer says who gave it."""
    root = tmp_path_factory.mktemp("models")
    for number in (1, 2, 3):
        tiny.publish_bundle(root / "tiny", root / f"staging-{number}")
    return root / "tiny"


@contextmanager
def calling(target: str) -> Iterator[list[Caller]]:
    """One caller of each kind."""
    callers = [Caller(kind, target) for kind in (calls, many, async_calls, async_many, command)]
    try:
        yield callers
    finally:
        for caller in callers:
            caller.stop.set()
        for caller in callers:
            caller.thread.join(PATIENCE_S)


def waited_until_each(callers: list[Caller], condition: Callable[[Caller], bool]) -> float:
    """The seconds that it took."""
    began = time.monotonic()
    while lack := [caller.name for caller in callers if not condition(caller)]:
        assert time.monotonic() < began + PATIENCE_S, lack
        callers[0].stop.wait(PAUSE_S)
    return time.monotonic() - began


@pytest.mark.slow
def test_no_call_fails_in_a_rollout_and_a_new_server_soon_has_its_share(three_versions: Path) -> None:
    with ExitStack() as servers, dns_server("127.0.0.2") as dns:

        def serve(version: int, *flags: str) -> tuple[int, Callable[[], int]]:
            own = ("--model-version", str(version), "--host", f"127.0.0.{version + 1}")
            server = servers.enter_context(running_server(three_versions, *own, *flags))

            def leave() -> int:
                server.send(signal.SIGTERM)
                return server.exit_code()

            return server.ready["port"], leave

        port, first_leaves = serve(1)
        with calling(dns.target(port)) as callers:
            waited_until_each(callers, lambda caller: caller.share_of(1) == 1)

            serve(2, "--port", str(port))
            dns.addresses = ["127.0.0.3"]
            assert first_leaves() == 0
            waited_until_each(callers, lambda caller: caller.share_of(2) == 1)

            serve(3, "--port", str(port))
            dns.addresses = ["127.0.0.3", "127.0.0.4"]
            took_s = waited_until_each(callers, lambda caller: caller.share_of(3) > 0.25)
        assert {caller.name: caller.failures for caller in callers if caller.failures} == {}
        assert took_s < FOUND_WITHIN_S
