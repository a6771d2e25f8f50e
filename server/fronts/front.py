"""The server's side of a front: starts it, hears of its calls, starts it again when it died."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fovea.errors import FoveaError, Unavailable
from server.background import in_background
from server.compute.child import Child
from server.compute.restarts import Restarts
from server.fronts import frames
from server.fronts.frames import Link
from server.fronts.images import FrontImages
from server.fronts.lent import Lent
from server.fronts.process import SetUp
from server.fronts.server import Server
from server.fronts.start import end_front, start_front
from server.fronts.told import error_from_json, error_to_json
from server.models.model import CallTimes

logger = logging.getLogger(__name__)

OPENS_WITHIN_S: Final = 60.0
ASKED_EVERY_S: Final = 10.0
"""A front that hangs does not say so, and callers go on to connect to it."""
DRAINS_LATE_S: Final = 5.0
"""After the grace period it still sends what is ready, and refuses; see `drain_calls`."""
HANGS_AFTER_S: Final = 30.0
"""It confirms in milliseconds what it is told."""


class Front:
    """One of the processes that speak gRPC. Belongs to the event loop that it is made in."""

    def __init__(self, set_up: SetUp, server: Server) -> None:
        self._set_up = set_up
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._process: Child | None = None
        self._images: FrontImages | None = None
        self._lent = Lent(server.models)
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._drained: asyncio.Future[bool] | None = None
        self._told = asyncio.Condition()
        self._live_generation = 0
        self._unheard = 0
        """Times that it was told of health, and has not confirmed it."""
        self._restarts = Restarts()
        self._is_ending = False
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def pid(self) -> int | None:
        """None while there is no process."""
        return None if self._process is None else self._process.pid

    @property
    def is_open(self) -> bool:
        """It answers calls."""
        return self._link is not None and self._opened.done()

    @property
    def number(self) -> int:
        return self._set_up.front

    async def open(self) -> None:
        """Returns when it answers calls. Raises Unavailable, or what it found."""
        self._opened = self._loop.create_future()
        self._lent = Lent(self._server.models)
        self._live_generation = self._unheard = 0
        try:
            self._images = images = self._server.open_images(self._lent.models)
            page = self._server.page_descriptor()
            ours, self._process = start_front(self._set_up, images.descriptor, page)
            link = Link(self._received, self._lost)
            await self._loop.create_unix_connection(lambda: link, sock=ours)
            self._link = images.link = link
            for name in self._server.models.folders:
                self.tell_addition(name)
            for name in sorted(self._server.generations, key=self._server.generations.__getitem__):
                self.tell_model(name)
            for name in self._server.seconds:
                self.tell_second(name)
            self.tell_health()
            await asyncio.wait_for(asyncio.shield(self._opened), OPENS_WITHIN_S)
            self._begin(self._ask_again_and_again(link))
            self._server.opened()
        except BaseException as error:
            await self._give_up()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise Unavailable(f"a front cannot be started: {error.strerror}") from error
            if isinstance(error, TimeoutError):
                raise Unavailable(f"a front is not there after {OPENS_WITHIN_S:.0f} s") from None
            raise

    def tell_model(self, name: str) -> None:
        """It may use the current version until it says that it does not."""
        generation = self._server.generations[name]
        if self._link is None or generation in self._lent.models:
            return
        self._link.send(frames.MODEL, self._lent.lend(name, generation).model_dump_json().encode())
        self._begin(self.has_heard())

    def tell_second(self, name: str) -> None:
        """Likewise of the version beside the current one; or there is none any more."""
        if self._link is not None:
            told = self._lent.lend_second(name, self._server.seconds.get(name))
            self._link.send(frames.SECOND, told.model_dump_json().encode())

    def tell_addition(self, name: str) -> None:
        """There is such a model, whether a version of it is loaded or not."""
        if self._link is not None:
            self._link.send(frames.ADDED, name.encode())

    def tell_removal(self, name: str) -> None:
        """It uses what it has of this model until its calls are answered."""
        if self._link is not None:
            self._link.send(frames.REMOVED, name.encode())

    def tell_health(self) -> None:
        if self._link is not None:
            self._unheard += 1
            health = self._server.health
            self._link.send_json(frames.READY, {"all": health.is_ready, "models": [*health.able]})

    async def has_heard(self) -> None:
        """Returns when it has the current model, and health says what it is to; or when it is gone."""
        generation = self._server.generation

        def has_heard() -> bool:
            return self._link is None or (self._live_generation >= generation and not self._unheard)

        await asyncio.wait((self._opened,))
        async with self._told:
            try:
                async with asyncio.timeout(HANGS_AFTER_S):  # wait_for may swallow that it is cancelled
                    await self._told.wait_for(has_heard)
            except TimeoutError:
                if has_heard() or self._process is None:  # or this process was the one that stood still
                    return
                logger.error("a front hangs and is ended", extra={"pid": self.pid})
                self._process.kill()

    async def drain(self, grace_s: float) -> bool:
        """False when calls had to be cut; nothing is left of one that is not there."""
        self._is_ending = True
        if self._link is None:
            return True
        self._link.send(frames.DRAIN, frames.SECONDS.pack(grace_s))
        if not self.is_open:
            return True
        self._drained = self._loop.create_future()
        try:
            return await asyncio.wait_for(self._drained, grace_s + DRAINS_LATE_S)
        except TimeoutError:
            return False

    async def end(self) -> None:
        self._is_ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._give_up()

    async def _ask_again_and_again(self, link: Link) -> None:
        """Until this process of the front has ended."""
        while self._link is link:
            self.tell_health()
            await self.has_heard()
            await asyncio.sleep(ASKED_EVERY_S)

    def _received(self, kind: bytes, content: memoryview) -> None:
        assert self._images is not None  # noqa: S101 - they are there before it
        if kind == frames.IMAGE:
            self._restarts.count = 0
            self._images.take(content)
            self._server.publish()
        elif kind == frames.LEFT:
            self._images.leave(*frames.NUMBER.unpack(content))
        else:
            _KINDS[kind](self, content)

    def _called(self, content: memoryview) -> None:
        generation, is_answered, began_ms, *seconds = frames.OF_CALL.unpack_from(content)
        name = bytes(content[frames.OF_CALL.size :]).decode()
        if generation in self._lent.models:
            self._lent.models[generation].count_call(name, CallTimes(bool(is_answered), began_ms, *seconds))

    def _has_gone_live(self, content: memoryview) -> None:
        (self._live_generation,) = frames.NUMBER.unpack(content)
        self._begin(self._tell_who_waits())

    def _has_heard(self, content: memoryview) -> None:
        self._unheard -= 1
        self._begin(self._tell_who_waits())

    async def _tell_who_waits(self) -> None:
        async with self._told:
            self._told.notify_all()

    def _uses_no_more(self, content: memoryview) -> None:
        (generation,) = frames.NUMBER.unpack(content)
        self._lent.give_back(generation)

    def _asked(self, content: memoryview) -> None:
        self._begin(self._answer(frames.from_json(content)))

    async def _answer(self, asked: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"number": asked["number"]}
        try:
            version = self._lent.models.get(asked["generation"])
            reply["value"] = await self._server.asked(asked["what"], version, asked["name"])
        except Exception as error:
            reply["error"] = error_to_json(error)
        if self._link is not None:
            self._link.send_json(frames.REPLY, reply)

    def _has_opened(self, content: memoryview) -> None:
        told = frames.from_json(content)
        if self._opened.done():
            return
        if "error" in told:
            self._opened.set_exception(error_from_json(told["error"]))
        else:
            self._opened.set_result(None)

    def _has_drained(self, content: memoryview) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(bool(content[0]))

    def _lost(self) -> None:
        """It has left, though nobody ended it."""
        is_open = self._opened.done()
        self._forget()
        if not is_open:
            self._opened.set_exception(Unavailable("a front ended as it started"))
            return
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(False)
        self._begin(self._start_again())

    def _forget(self) -> None:
        """Gives up what the process had."""
        self._link = None
        if self._images is not None:
            self._images.end()
        self._lent.give_all_back()
        self._server.ended(self.number)
        self._begin(self._tell_who_waits())

    async def _start_again(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            code = await in_background(process.wait)
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            logger.error("a front died", extra={"pid": process.pid, "how": how})
        while True:
            await self._restarts.pause()
            if self._is_ending:
                return
            try:
                await self.open()
            except Exception as error:  # whatever a machine in need gives as its reason
                unforeseen = None if isinstance(error, FoveaError) else error
                reason = {"reason": str(error)}
                logger.error("a front does not start again", extra=reason, exc_info=unforeseen)
            else:
                logger.info("a front was started again", extra={"pid": self.pid})
                return

    async def _give_up(self) -> None:
        link, process = self._link, self._process
        self._opened.cancel()
        self._forget()
        self._process = None
        if link is not None:
            link.close()
        if process is not None:
            await end_front(process)

    def _begin(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_KINDS: Final[dict[bytes, Callable[[Front, memoryview], None]]] = {
    frames.CALL: Front._called,
    frames.LIVE: Front._has_gone_live,
    frames.HEARD: Front._has_heard,
    frames.UNUSED: Front._uses_no_more,
    frames.ASK: Front._asked,
    frames.OPENED: Front._has_opened,
    frames.DRAINED: Front._has_drained,
}
