"""The images of one front, as the server has them: each goes through the queue, and its answer back."""

import asyncio
import math
import mmap
import os
from collections.abc import Mapping
from functools import partial

from server.compute.arenas import Place
from server.compute.backend import WorkItem
from server.errors import NoModelReady
from server.fronts import frames
from server.fronts.frames import Link
from server.fronts.told import error_to_json
from server.models.served_model import ServedModel
from server.queue.priorities import Item, Priority

Queued = Item[WorkItem]


class _Image:
    """One that was not answered yet."""

    __slots__ = ("decoding", "is_left", "is_more", "model", "queued")

    def __init__(self, model: ServedModel, is_more: bool) -> None:
        self.model = model
        self.is_more = is_more
        self.queued: Queued | None = None
        self.decoding: asyncio.Task[None] | None = None
        self.is_left = False


class FrontImages:
    """Reads them where the front has put them. Belongs to the event loop that serves."""

    def __init__(self, arena: int, size_bytes: int, models: Mapping[int, ServedModel]) -> None:
        """`arena` is a number of its own; `models` are by generation those that the front may still use.

        Raises OSError.
        """
        self.descriptor = os.memfd_create("fovea-arena")
        try:
            os.ftruncate(self.descriptor, size_bytes)
            self._memory = memoryview(mmap.mmap(self.descriptor, size_bytes, prot=mmap.PROT_READ))
        except BaseException:
            os.close(self.descriptor)
            raise
        self._arena = arena
        self._models = models
        self._images: dict[int, _Image] = {}
        self._has_ended = False
        self.link: Link | None = None

    def __len__(self) -> int:
        return len(self._images)

    def take(self, content: memoryview) -> None:
        """An image's frame."""
        number, generation, flags, wants, deadline, offset, length = frames.OF_IMAGE.unpack_from(content)
        model = self._models.get(generation)
        if model is None:
            self._refuse(number, NoModelReady("no model is ready yet"))
            return
        place = None
        if flags & frames.INLINE:
            data = content[frames.OF_IMAGE.size :]
        else:
            data = self._memory[offset : offset + length]
            place = Place(self._arena, self.descriptor, offset)
        work = WorkItem(data, bool(flags & frames.CROP), wants, place, bool(flags & frames.MORE))
        model.watch(work)
        priority = Priority.BULK if flags & frames.BULK else Priority.INTERACTIVE
        self._images[number] = image = _Image(model, work.is_more)
        until = None if math.isinf(deadline) else deadline
        if model.decodes_ahead and not work.is_crop:
            decoding = self._decode(number, image, work, until, priority)
            image.decoding = asyncio.get_running_loop().create_task(decoding)
        else:
            self._put(number, image, work, until, priority)

    def leave(self, number: int) -> None:
        """Its caller did; the front hears when nobody reads it any more."""
        image = self._images.get(number)
        if image is None:  # its answer is on its way
            return
        image.is_left = True
        if image.queued is not None:
            image.model.batcher.give_up(image.queued)

    def end(self) -> None:
        """The front has. What is read still can be."""
        self._has_ended, self.link = True, None
        for number in list(self._images):
            self.leave(number)
        self._close_if_unused()

    async def _decode(
        self, number: int, image: _Image, work: WorkItem, deadline: float | None, priority: Priority
    ) -> None:
        """Is never cancelled: the thread would read on."""
        try:
            await image.model.decode_ahead(work, deadline, priority)
        except Exception as error:
            self._refuse(number, error)
        else:
            if image.is_left:
                self._gone(number)
            else:
                self._put(number, image, work, deadline, priority)
        finally:
            del work, image

    def _put(
        self, number: int, image: _Image, work: WorkItem, deadline: float | None, priority: Priority
    ) -> None:
        try:
            image.queued = queued = image.model.batcher.put(work, deadline, priority)
        except Exception as error:
            self._refuse(number, error)
        else:
            queued.answer.add_done_callback(partial(self._computed, number))

    def _computed(self, number: int, answer: "asyncio.Future[object]") -> None:
        image = self._images[number]
        assert image.queued is not None  # noqa: S101 - it was, to be computed
        if answer.cancelled():
            self._gone(number)
        elif (error := answer.exception()) is not None:
            self._refuse(number, error)
        elif image.is_left:
            self._gone(number)
        else:
            self._answer(number, image.model, image.queued)

    def _answer(self, number: int, model: ServedModel, queued: Queued) -> None:
        result = queued.answer.result()
        classified = model.counted(result, queued.payload)
        head = frames.OF_ANSWER.pack(
            number,
            classified.batch_size,
            classified.best,
            classified.abstained,
            queued.payload.wants,
            classified.decode_s,
            classified.queue_s,
            classified.compute_s,
        )
        self._last_word(number, frames.ANSWER, head, result.row.tobytes())

    def _refuse(self, number: int, error: BaseException) -> None:
        if image := self._images.get(number):
            image.model.failed(error, is_more=image.is_more)
        told = frames.to_json(error_to_json(error))
        self._last_word(number, frames.REFUSED, frames.NUMBER.pack(number), told)

    def _gone(self, number: int) -> None:
        self._last_word(number, frames.GONE, frames.NUMBER.pack(number))

    def _last_word(self, number: int, kind: bytes, *parts: bytes) -> None:
        self._images.pop(number, None)
        if self.link is not None:
            self.link.send(kind, *parts)
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._has_ended and not self._images and self.descriptor >= 0:
            os.ftruncate(self.descriptor, 0)  # whoever has it mapped reads it no more, but may keep it
            os.close(self.descriptor)
            self.descriptor = -1
