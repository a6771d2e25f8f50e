"""The model as a front has it: in another process, which gets each image and answers it."""

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fovea.v1 import classify_pb2 as pb
from server.compute.backend import WorkItem
from server.compute.wants import details_of
from server.fronts import frames
from server.fronts.arena import Arena
from server.fronts.frames import Link
from server.fronts.page import Page
from server.fronts.told import FIGURES, LiveModel, error_from_json
from server.models.model import CallTimes, Classified, ModelFigures
from server.queue.priorities import Priority


class _Waiting(NamedTuple):
    """An image that the server has, and where it lies."""

    answer: "asyncio.Future[Classified]"
    offset: int | None
    length: int
    classes: int


class Owner:
    """The server, as a front asks it. Belongs to the event loop that it is made in."""

    def __init__(self, arena: Arena, page: Page) -> None:
        self._loop = asyncio.get_running_loop()
        self._arena = arena
        self.page = page
        self.link: Link | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, _Waiting] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}

    def send(self, kind: bytes, *parts: bytes | memoryview) -> None:
        if self.link is not None:
            self.link.send(kind, *parts)

    async def classify(
        self, generation: int, classes: int, item: WorkItem, deadline: float | None, priority: Priority
    ) -> Classified:
        """See `Model`. What the server no longer reads is free for other images, also where nobody waits."""
        number, content = next(self._numbers), item.content
        offset, length = self._arena.put(content), len(content)
        answer: asyncio.Future[Classified] = self._loop.create_future()
        self._waiting[number] = _Waiting(answer, offset, length, classes)
        flags = item.is_crop * frames.CROP | (offset is None) * frames.INLINE
        flags |= (priority is Priority.BULK) * frames.BULK | item.is_more * frames.MORE
        until = math.inf if deadline is None else deadline
        head = frames.OF_IMAGE.pack(number, generation, flags, item.wants, until, offset or 0, length)
        if offset is None:
            self.send(frames.IMAGE, head, content)
        else:
            self.send(frames.IMAGE, head)
        del item, content  # a failure's traceback holds this frame
        try:
            return await answer
        except asyncio.CancelledError:
            if number in self._waiting:
                self.send(frames.LEFT, frames.NUMBER.pack(number))
            raise
        finally:
            del answer

    async def ask(self, what: str, generation: int = 0, name: str = "") -> Any:
        """Of a version by its generation, or a model by its name. Raises what the server does."""
        number = next(self._numbers)
        self._asked[number] = reply = self._loop.create_future()
        if self.link is not None:
            asked = {"number": number, "what": what, "generation": generation, "name": name}
            self.link.send_json(frames.ASK, asked)
        try:
            return await reply
        finally:
            self._asked.pop(number, None)
            del reply

    def answered(self, content: memoryview) -> None:
        number, size, best, abstained, wants, *took = frames.OF_ANSWER.unpack_from(content)
        waiting = self._take(number)
        if waiting is None:
            return
        row = np.frombuffer(content, np.float32, offset=frames.OF_ANSWER.size)
        details = details_of(row, wants, waiting.classes) if wants else None
        probabilities = details.probabilities if details else row
        decode_s, queue_s, compute_s = took
        waiting.answer.set_result(
            Classified(probabilities, best, bool(abstained), size, decode_s, queue_s, compute_s, details)
        )

    def refused(self, content: memoryview) -> None:
        waiting = self._take(*frames.NUMBER.unpack_from(content))
        if waiting is not None:
            waiting.answer.set_exception(error_from_json(frames.from_json(content[frames.NUMBER.size :])))

    def gone(self, content: memoryview) -> None:
        self._take(*frames.NUMBER.unpack_from(content))

    def replied(self, content: memoryview) -> None:
        told = frames.from_json(content)
        reply = self._asked.get(told["number"])
        if reply is None or reply.done():
            return
        if "error" in told:
            reply.set_exception(error_from_json(told["error"]))
        else:
            reply.set_result(told["value"])

    def _take(self, number: int) -> _Waiting | None:
        """Who waits for it, if anybody does; where it lay is free."""
        waiting = self._waiting.pop(number)
        if waiting.offset is not None:
            self._arena.free(waiting.offset, waiting.length)
        return None if waiting.answer.done() else waiting


class RemoteModel:
    """A version that is live in the server; see `Model`."""

    def __init__(self, live: LiveModel, owner: Owner) -> None:
        self.contract = live.contract
        self.provider = live.provider
        self.precision = live.precision
        self.identity = pb.ModelVersion(
            name=live.contract.name, version=live.contract.version, digest=live.digest
        )
        self.has_workers = True  # the server says otherwise itself, of each image and to health
        self.queued = 0
        self.on_workers_changed: Callable[[], None] = _nobody
        self.generation = live.generation
        self._owner = owner

    async def classify(
        self, item: WorkItem, deadline: float | None, priority: Priority = Priority.INTERACTIVE
    ) -> Classified:
        classes = len(self.contract.labels)
        return await self._owner.classify(self.generation, classes, item, deadline, priority)

    def retry_after_s(self) -> float:
        return self._owner.page.retry_after_s

    def count_call(self, name: str, times: CallTimes) -> None:
        taken = (times.seconds, times.queue_s, times.decode_s, times.compute_s, times.answer_s)
        head = frames.OF_CALL.pack(self.generation, times.is_answered, times.began_ms, *taken)
        self._owner.send(frames.CALL, head, name.encode())

    async def figures(self) -> ModelFigures:
        return FIGURES.validate_python(await self._owner.ask("figures", self.generation))

    async def close(self) -> None:
        """No call uses it any more: the server may close it."""
        self._owner.send(frames.UNUSED, frames.NUMBER.pack(self.generation))


class RemoteVersions:
    """The folders that the server looks at; see `Versions`."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def refused_now(self, name: str) -> dict[int, str]:
        told = await self._owner.ask("refused", name=name)
        return {int(version): why for version, why in told.items()}

    async def look_on_demand(self, name: str) -> None:
        await self._owner.ask("look", name=name)


def _nobody() -> None:
    """Is told that workers have changed."""
