"""Several models on the processes of a pool, whose answers come when a test says so."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from fovea.errors import BundleInvalid, Unavailable
from server.compute import loading, pool_memory, restarts, wire
from server.compute import seat as seat_module
from server.compute.backend import WorkItem
from server.compute.pool import Pool
from server.compute.slots import Slot
from server.compute.start_up import ProcessReady, ProcessRefusal, ProcessSettings, to_json
from server.compute.warm_up import WarmUp
from server.errors import ComputeFailed, DeadlinePassed, NoModelReady
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.batcher import Batcher
from server.queue.priorities import Priority
from server.queue.worker import Computed
from tests.server.event_loop import all_has_run, in_event_loop, until

SHORT_S = 0.016
SETTINGS = ProcessSettings("", "", "fp32", "", 2, 4, SHORT_S, 1, 1, "info", "text", run_images=1)
"""Of a model with one class, that was measured."""
NEEDS = 100
"""Bytes that it takes in each process."""


class Process:
    """One that sets models up at once, and computes when it is told to."""

    started: ClassVar[list["Process"]] = []
    may_start: ClassVar[asyncio.Event | None] = None
    refused_slot: ClassVar[int | None] = None
    failures: ClassVar[list[Exception]] = []
    """Of the next starts."""
    refusals: ClassVar[list[Exception]] = []
    """Of the next models that are set up."""

    sets_up_in_s: ClassVar[float] = 0.0

    def __init__(self, seat: seat_module.Seat) -> None:
        self.seat = seat
        self._work: list[tuple[int, int, bool] | ProcessSettings] = []
        """One after the other, as it came."""
        self.slots: set[int] = set()
        self.is_open = self.is_killed = False
        self.pid = len(self.started)
        self.refuses: Exception | None = None
        Process.started.append(self)

    @property
    def batches(self) -> list[tuple[int, int, bool]]:
        """(slot, images, whether there is no other) of those that it has."""
        return [work for work in self._work if isinstance(work, tuple)]

    async def open_empty(self) -> None:
        if self.may_start is not None:
            await self.may_start.wait()
        if self.failures:
            raise self.failures.pop()
        self.is_open = True

    def send(self, parts: Sequence[bytes | memoryview]) -> None:
        assert self.is_open
        data = b"".join(parts)
        kind, content = data[:1], memoryview(data)[wire.HEADER.size :]
        if kind == wire.BATCH:
            items, is_alone = wire.read_batch(content)
            self._work.append((wire.slot_of(content), len(items), is_alone))
        elif kind == wire.DROP:
            self.slots.discard(*wire.SLOT.unpack(content))
        else:
            self._work.append(ProcessSettings.from_json(bytes(content)))
            loop = asyncio.get_running_loop()
            if self.sets_up_in_s:
                loop.call_later(self.sets_up_in_s, self._set_up_next)
            else:
                loop.call_soon(self._set_up_next)

    def _set_up_next(self) -> None:
        if self._work and isinstance(settings := self._work[0], ProcessSettings):
            asyncio.get_running_loop().call_soon(self._set_up_next)
            del self._work[0]
            self._set_up(settings)

    def _set_up(self, settings: ProcessSettings) -> None:
        gone = BundleInvalid("its files are gone") if settings.slot == self.refused_slot else None
        if (refusal := self.refuses or gone or (self.refusals.pop() if self.refusals else None)) is not None:
            self.seat.received(wire.REFUSED, to_json(ProcessRefusal.of(refusal)))
            return
        self.slots.add(settings.slot)
        ready = ProcessReady("fp32", WarmUp(0.0, ()), 1, memory_bytes=NEEDS)
        self.seat.received(wire.READY, to_json(ready))

    def finish(self, seconds: float = 0.001) -> int:
        """The first of its batches; returns whose it was."""
        asyncio.get_running_loop().call_soon(self._set_up_next)
        slot, images, _ = self.batches[0]
        self._work.remove(self.batches[0])
        rows = [np.array([1.0], np.float32)] * images
        computed = Computed(rows, [0.0] * images, seconds, seconds)
        frame = wire.result_frame(computed)
        self.seat.received(frame[:1], frame[wire.HEADER.size :])
        return slot

    def die(self) -> None:
        self._work.clear()
        self.seat.lost()

    def kill(self) -> None:
        self.is_killed = True

    async def close(self) -> None:
        pass


class Served:
    """A pool, and models with a queue each."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.slots: list[Slot] = []
        self.batchers: list[Batcher[WorkItem]] = []

    @property
    def processes(self) -> list[Process]:
        return Process.started[-len(self.pool.seats) :]

    async def add(self, takes_s: float = 0.001, max_batch_size: int = 1) -> int:
        """Another model, whose batches take so long; returns its number."""
        slot = await self.pool.add(SETTINGS, mapped_bytes=NEEDS)
        cores = len(self.pool.seats)
        costs = CostModel([(1, takes_s), (2, 2 * takes_s)], takes_s)
        limits = BatchLimits(max_batch_size, concurrency=cores)
        self.slots.append(slot)
        contention = self.pool.contention(slot)
        self.batchers.append(Batcher(slot.shares(2 * cores), limits, costs, others=contention))
        return len(self.slots) - 1

    def ask(self, model: int, images: int = 1) -> list["asyncio.Task[Any]"]:
        batcher = self.batchers[model]
        return [asyncio.create_task(batcher.classify(WorkItem(b"image"))) for _ in range(images)]


@asynccontextmanager
async def served(
    cores: int = 1, memory_bytes: int | None = None, pauses_s: tuple[float, ...] = (0.0,)
) -> AsyncIterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seat_module, "Connection", Process)
        patch.setattr(restarts, "RESTART_AFTER_S", pauses_s)
        models = Served(Pool(cores, SHORT_S, memory_bytes))
        try:
            yield models
        finally:
            for batcher in models.batchers:
                await batcher.close()
            await models.pool.close()


@contextmanager
def refused(slot: Slot) -> Iterator[None]:
    """By every process that is to set it up in the block."""
    Process.refused_slot = slot.number
    try:
        yield
    finally:
        Process.refused_slot = None


async def tried_again(slot: Slot, times: int) -> None:
    """From now on, and it is still not there."""
    enough = slot.reloads.count + times
    await until(lambda: slot.reloads.count >= enough)


@in_event_loop
async def test_no_model_starves_another_however_many_calls_it_has_and_however_long_they_take() -> None:
    async with served() as models:
        slow, quick = await models.add(takes_s=0.03), await models.add(takes_s=0.01)
        calls = models.ask(slow, 40) + models.ask(quick, 40)
        await all_has_run()
        (process,) = models.processes
        order: list[int] = []
        while len(order) < 40:
            seconds = 0.03 if process.batches[0][0] == models.slots[slow].number else 0.01
            order.append(process.finish(seconds))
            await all_has_run()
        share = order.count(models.slots[quick].number) / len(order)
        assert 0.7 <= share <= 0.8, "three quick ones take as long as a slow one"
        for call in calls:
            call.cancel()


def is_admitted(models: Served, model: int, within_s: float) -> bool:
    """A call with this deadline; it is not put in the queue."""
    try:
        models.batchers[model].check_deadline(time.monotonic() + within_s, Priority.INTERACTIVE)
    except DeadlinePassed:
        return False
    return True


@in_event_loop
async def test_a_deadline_is_foreseen_by_what_other_models_have_to_do_as_far_as_they_get_turns() -> None:
    """Batches take minutes: the seconds of the test do not count. A half more is wanted for safety."""
    async with served() as models:
        long, short = await models.add(takes_s=6000.0), await models.add(takes_s=600.0)
        assert is_admitted(models, short, 1.5 * 600), "all cores are free"
        calls = models.ask(long)
        await all_has_run()
        assert not is_admitted(models, short, 1.5 * 6000), "the batch is not interrupted"
        assert is_admitted(models, short, 1.5 * (6000 + 600) + 1)
        models.processes[0].finish(6000.0)
        await all_has_run()
        calls += models.ask(short, 20)
        await all_has_run()
        calls += models.ask(long, 3)
        await all_has_run()
        assert not is_admitted(models, short, 1.5 * (2 * 21 - 0.5) * 600), "each of ours is a turn of theirs"
        assert is_admitted(models, short, 1.5 * 2 * 21 * 600 + 1)
        assert is_admitted(models, long, 1.5 * (20 * 600 + 4 * 6000) + 1), "but they have no more than 20"
        assert not is_admitted(models, long, 1.5 * (19 * 600 + 4 * 6000))
        for call in calls:
            call.cancel()


@in_event_loop
async def test_a_deadline_is_foreseen_by_all_cores_and_by_what_waits_before_the_pool() -> None:
    async with served(cores=2) as models:
        busy, late = await models.add(takes_s=600.0), await models.add(takes_s=600.0)
        calls = models.ask(busy)
        await all_has_run()
        assert is_admitted(models, late, 601.0), "a core is free"
        calls += models.ask(busy, 19)  # of which its queue keeps 16
        calls += models.ask(late, 10)
        await all_has_run()
        assert not is_admitted(models, late, 1.5 * ((10 + 11) / 2 + 0.5) * 600), "theirs are as many as ours"
        assert is_admitted(models, late, 1.5 * ((10 + 11) / 2 + 1) * 600 + 1)
        for call in calls:
            call.cancel()


@in_event_loop
async def test_a_lone_image_takes_all_cores_only_where_no_model_has_another() -> None:
    async with served(cores=2) as models:
        first, second = await models.add(takes_s=0.05), await models.add(takes_s=0.05)
        (lone,) = models.ask(first)
        await all_has_run()
        assert [process.batches for process in models.processes] == [
            [(models.slots[first].number, 1, True)],
            [],
        ]
        (other,) = models.ask(second)
        await all_has_run()
        assert models.processes[1].batches == [(models.slots[second].number, 1, False)]
        models.processes[0].finish()
        await lone
        (lone,) = models.ask(first)
        await all_has_run()
        assert models.processes[0].batches == [(models.slots[first].number, 1, False)], "there is the other"
        for process in models.processes:
            process.finish()
        await asyncio.gather(lone, other)
        models.processes[0].seat.is_up = False  # as while it is started again
        models.slots[first].seats.discard(models.processes[0].seat)
        (lone,) = models.ask(first)
        await all_has_run()
        assert models.processes[1].batches == [(models.slots[first].number, 1, False)], "it has one core"
        models.processes[1].finish()
        await lone


@in_event_loop
async def test_a_model_that_had_nothing_to_do_does_not_hold_the_others_up_when_it_has() -> None:
    async with served() as models:
        busy, late = await models.add(takes_s=0.05), await models.add(takes_s=0.05)
        calls = models.ask(busy, 60)
        await all_has_run()
        (process,) = models.processes
        for _ in range(20):
            process.finish(0.05)
            await all_has_run()
        calls += models.ask(late, 30)
        await all_has_run()
        order = []
        for _ in range(20):
            order.append(process.finish(0.05))
            await all_has_run()
        assert 8 <= order.count(models.slots[late].number) <= 11
        for call in calls:
            call.cancel()


@in_event_loop
async def test_a_short_batch_is_in_hand_while_another_is_computed_a_long_one_waits_for_whoever_is_free() -> (
    None
):
    for takes_s, in_hand in ((0.001, 2), (0.05, 1)):
        async with served() as models:
            await models.add(takes_s)
            calls = models.ask(0, 3)
            await all_has_run()
            assert len(models.processes[0].batches) == in_hand
            while models.processes[0].batches:
                models.processes[0].finish()
                await all_has_run()
            assert all(call.done() for call in calls)


@in_event_loop
async def test_what_a_process_had_that_died_is_tried_again() -> None:
    async with served() as models:
        await models.add()
        calls = models.ask(0, 2)
        await all_has_run()
        models.processes[0].die()
        await all_has_run()
        (process,) = models.processes
        assert process.slots == {models.slots[0].number}, "it has the model again"
        while process.batches:
            process.finish()
            await all_has_run()
        assert [call.result().batch_size for call in calls] == [1, 1]


@in_event_loop
async def test_a_process_that_dies_as_it_starts_again_gets_every_model_the_next_time() -> None:
    async with served(cores=2) as models:
        first, second = await models.add(takes_s=0.05), await models.add(takes_s=0.05)
        models.processes[1].die()
        started = len(Process.started)
        # A turn of the loop at a time: what is to be met lasts for no longer.
        while len(Process.started) == started or not Process.started[-1].slots:  # noqa: ASYNC110
            await asyncio.sleep(0)
        Process.started[-1].die()
        await until(lambda: models.pool.seats[1].is_up)
        both = {models.slots[each].number for each in (first, second)}
        assert len(Process.started) == started + 2
        assert Process.started[-1].slots == both


@in_event_loop
async def test_a_batch_that_waited_as_another_models_killed_the_process_is_not_suspected() -> None:
    async with served() as models:
        deadly, innocent = await models.add(takes_s=0.05), await models.add(takes_s=0.05)
        (killer,) = models.ask(deadly)
        await all_has_run()
        (call,) = models.ask(innocent)
        await all_has_run()
        for _ in range(2):
            assert models.processes[0].batches == [(models.slots[deadly].number, 1, True)]
            models.processes[0].die()
            await until(lambda: models.pool.seats[0].is_up)
            await all_has_run()
        with pytest.raises(ComputeFailed):
            await killer
        models.processes[0].finish()
        assert (await call).batch_size == 1


@in_event_loop
async def test_a_model_that_cannot_be_loaded_again_is_not_ready_until_it_is_and_takes_no_other_with_it() -> (
    None
):
    async with served() as models:
        bad, good = await models.add(takes_s=0.05), await models.add(takes_s=0.05)
        changes: list[bool] = []
        models.batchers[bad].on_workers_changed = lambda: changes.append(models.batchers[bad].has_workers)
        calls = models.ask(bad, 5)  # of which some wait before the pool, and are refused all the same
        await all_has_run()
        with refused(models.slots[bad]):
            models.processes[0].die()
            for call in calls:
                with pytest.raises(NoModelReady, match="cannot be loaded now: the server's log says why"):
                    await call
            with pytest.raises(NoModelReady, match="cannot be loaded now: the server's log says why"):
                await models.ask(bad)[0]
            await until(lambda: models.batchers[good].has_workers)
            (call,) = models.ask(good)
            await until(lambda: bool(models.processes[0].batches))
            models.processes[0].finish()
            await call
            await until(lambda: models.slots[bad].reloads.count > 2)
            assert changes == [False]
        await until(lambda: changes == [False, True])
        (call,) = models.ask(bad)
        await all_has_run()
        models.processes[0].finish()
        assert (await call).batch_size == 1
        assert models.slots[bad].coming_back is None, "nothing goes on"


@in_event_loop
async def test_a_process_that_refuses_a_model_leaves_it_to_the_others_and_gets_it_later() -> None:
    async with served(cores=2) as models:
        model = await models.add(takes_s=0.05)
        number = models.slots[model].number
        stays, dies = models.processes
        with refused(models.slots[model]):
            dies.die()
            await until(lambda: models.slots[model].reloads.count > 2)
            assert models.batchers[model].has_workers
            calls = models.ask(model, 2)
            await all_has_run()
            for _ in calls:
                assert stays.finish() == number
                await all_has_run()
        again = Process.started[-1]
        await until(lambda: again.slots == {number})
        calls = models.ask(model, 2)
        await all_has_run()
        assert [len(process.batches) for process in (stays, again)] == [1, 1]
        for call in calls:
            call.cancel()


@in_event_loop
async def test_a_model_that_cannot_come_back_from_where_it_was_put_is_not_ready_until_it_can() -> None:
    async with served(memory_bytes=2 * NEEDS) as models:
        first, second = await models.add(), await models.add()
        assert [models.batchers[each].has_workers for each in (first, second)] == [True, True]
        with refused(models.slots[first]):
            (call,) = models.ask(first)
            with pytest.raises(NoModelReady, match="the server's log says why"):
                await call
            assert [models.batchers[each].has_workers for each in (first, second)] == [False, True]
        await until(lambda: models.batchers[first].has_workers)


@in_event_loop
async def test_a_model_that_cannot_come_back_takes_the_memory_of_others_only_for_a_call_and_not_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served(memory_bytes=2 * NEEDS) as models:
        first, second = await models.add(), await models.add()
        bad, good = (models.slots[each] for each in (first, second))
        with refused(bad):
            for _ in range(2):
                monkeypatch.setattr(loading, "TRIES_BESIDE_OTHERS", 1_000_000)
                with pytest.raises(NoModelReady, match="the server's log says why"):
                    await models.ask(first)[0]
                (call,) = models.ask(second)
                await until(lambda: bool(models.processes[0].batches))
                models.processes[0].finish()
                await call
                await tried_again(bad, times=5)
                assert good.is_loaded
                assert not models.batchers[first].has_workers
                monkeypatch.setattr(loading, "TRIES_BESIDE_OTHERS", 1)
                await until(lambda: models.batchers[first].has_workers)
                assert good.is_loaded, "the next call takes its memory"
                assert not bad.is_loaded
                assert bad.coming_back is None
        (call,) = models.ask(first)
        await until(lambda: bool(models.processes[0].batches))
        models.processes[0].finish()
        assert (await call).batch_size == 1


@in_event_loop
async def test_a_model_that_gave_way_comes_back_for_a_call_alone_but_then_at_once() -> None:
    async with served(cores=2, memory_bytes=5 * NEEDS, pauses_s=(0.0, 60.0)) as models:
        first = await models.add()
        slot = models.slots[first]
        with refused(slot):
            models.processes[1].die()
            await until(lambda: slot.reloads.count == 1)
        await models.add()
        assert not slot.is_loaded
        assert slot.coming_back is None, "it would be loaded after the pause, which a call would wait for"
        (call,) = models.ask(first)
        await until(lambda: bool(slot.running))
        call.cancel()


@in_event_loop
async def test_a_model_that_is_closed_is_not_tried_again() -> None:
    async with served() as models:
        model = await models.add()
        with refused(models.slots[model]):
            models.processes[0].die()
            await until(lambda: models.slots[model].reloads.count > 0)
            await models.batchers[model].close()
            await until(lambda: models.slots[model].coming_back is None)


@in_event_loop
async def test_processes_that_do_not_start_at_first_are_started_later_if_one_does() -> None:
    async with served(cores=2) as models:
        Process.failures[:] = [Unavailable("no memory")] * 2
        with pytest.raises(Unavailable, match="no memory"):
            await models.add()
        Process.failures[:] = [Unavailable("no memory")] * 1
        model = await models.add()
        assert models.batchers[model].has_workers
        await until(lambda: all(seat.is_up for seat in models.pool.seats))
        assert all(seat in models.slots[model].seats for seat in models.pool.seats)


@in_event_loop
async def test_a_new_model_that_a_process_refuses_for_a_moment_is_there_after_it() -> None:
    async with served() as models:
        Process.refusals[:] = [Unavailable("no memory"), BundleInvalid("its store is away")]
        assert models.slots[await models.add()].is_loaded
        Process.refusals[:] = [BundleInvalid("its store is away")] * 3
        with pytest.raises(BundleInvalid, match="away"):
            await models.add()
        assert models.processes[0].slots == {models.slots[0].number}


@in_event_loop
async def test_a_model_may_be_closed_while_a_process_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as models:
        first, second = await models.add(), await models.add()
        monkeypatch.setattr(Process, "may_start", may_start := asyncio.Event())
        models.processes[0].die()
        await all_has_run()
        await models.batchers[first].close()
        may_start.set()
        await until(lambda: models.pool.seats[0].is_up)
        assert models.processes[0].slots == {models.slots[second].number}


@in_event_loop
async def test_while_no_process_is_there_calls_are_refused_and_then_answered() -> None:
    async with served() as models:
        await models.add()
        (batcher,) = models.batchers
        changes: list[bool] = []
        batcher.on_workers_changed = lambda: changes.append(batcher.has_workers)
        models.processes[0].die()
        with pytest.raises(NoModelReady):
            await batcher.classify(WorkItem(b"image"))
        await all_has_run()
        assert changes == [False, True]
        (call,) = models.ask(0)
        await all_has_run()
        models.processes[0].finish()
        await call


@in_event_loop
async def test_the_model_that_was_not_used_for_longest_gives_way_and_comes_back_when_it_is_called() -> None:
    async with served(memory_bytes=2 * 2 * NEEDS) as models:
        first, second = await models.add(), await models.add()
        (call,) = models.ask(first)
        await all_has_run()
        models.processes[0].finish()
        await call
        third = await models.add()
        assert [models.slots[each].is_loaded for each in (first, second, third)] == [True, False, True]
        assert models.processes[0].slots == {models.slots[each].number for each in (first, third)}
        (call,) = models.ask(second)
        await all_has_run()
        assert [models.slots[each].is_loaded for each in (first, second, third)] == [False, True, True]
        models.processes[0].finish()
        assert (await call).batch_size == 1


@in_event_loop
async def test_a_model_with_work_stays_and_a_call_for_another_waits_for_its_end_or_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served(memory_bytes=2 * NEEDS) as models:
        first, second = await models.add(), await models.add()
        (busy,) = models.ask(second)
        await all_has_run()
        (waiting,) = models.ask(first)
        await all_has_run()
        assert models.processes[0].slots == {models.slots[second].number}
        models.processes[0].finish()
        await busy
        await all_has_run()
        assert models.processes[0].slots == {models.slots[first].number}
        models.processes[0].finish()
        await waiting
        monkeypatch.setattr(loading, "COMES_BACK_WITHIN_S", 0.01)
        models.ask(first)
        await all_has_run()
        (refused,) = models.ask(second)
        with pytest.raises(NoModelReady, match="others that are in use have its memory"):
            await refused
        models.processes[0].finish()


@in_event_loop
async def test_loading_may_take_longer_than_it_waits_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(cores=2, memory_bytes=3 * NEEDS) as models:
        first, _ = await models.add(), await models.add()
        monkeypatch.setattr(loading, "COMES_BACK_WITHIN_S", 0.01)
        monkeypatch.setattr(Process, "sets_up_in_s", 0.02)
        (call,) = models.ask(first)
        await until(lambda: call.done() or len(models.slots[first].seats) == 2)
        assert models.processes[0].finish() == models.slots[first].number
        await call


@in_event_loop
async def test_a_model_that_waits_for_others_to_be_loaded_says_that_and_not_that_it_is_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with served(memory_bytes=2 * NEEDS) as models:
        first, _ = await models.add(), await models.add()
        monkeypatch.setattr(loading, "COMES_BACK_WITHIN_S", 0.01)
        monkeypatch.setattr(Process, "sets_up_in_s", 0.03)
        Process.refusals[:] = [Unavailable("no memory")]
        (call,) = models.ask(first)
        await until(lambda: models.slots[first].is_loaded)
        adding = asyncio.create_task(models.add())  # its turn comes before the next try
        with pytest.raises(NoModelReady, match="cannot be loaded now: others are being loaded"):
            await call
        assert models.slots[first].coming_back is None
        assert "a model is loaded again" not in caplog.text
        await adding


@in_event_loop
async def test_models_that_do_not_fit_together_take_turns_in_memory_though_both_always_have_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_memory, "KEEPS_S", 0.01)
    async with served(memory_bytes=2 * NEEDS) as models:
        first, second = await models.add(), await models.add()
        calls = models.ask(first, 2000) + models.ask(second, 2000)
        (process,) = models.processes
        order: list[int] = []
        turns = 0
        end = time.monotonic() + 60
        while turns < 8 and time.monotonic() < end:
            if process.batches:
                order.append(process.finish())
                turns += order[-1] not in order[-2:-1]
            await asyncio.sleep(0.001)
        assert turns == 8, "each had several"
        assert min(order.count(models.slots[each].number) for each in (first, second)) > len(order) / 4
        for call in calls:
            call.cancel()


@in_event_loop
async def test_a_new_model_waits_no_longer_for_memory_that_others_use_than_one_that_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "COMES_BACK_WITHIN_S", 0.01)
    async with served(memory_bytes=2 * NEEDS) as models:
        (busy,) = models.ask(await models.add())
        await all_has_run()
        with pytest.raises(Unavailable, match="others that are in use have its memory"):
            await models.add()
        models.processes[0].finish()
        await busy


@in_event_loop
async def test_a_model_that_does_not_fit_alone_is_refused_and_gone() -> None:
    async with served(memory_bytes=NEEDS - 1) as models:
        with pytest.raises(Unavailable, match="--model-memory-bytes 99 has no room"):
            await models.add()
        assert models.processes[0].slots == set()
    async with served(memory_bytes=NEEDS) as models:  # and what the process grew by is beside it
        for _ in range(2):
            model = await models.add()
            assert models.processes[0].slots == {models.slots[model].number}, "alone"


@in_event_loop
async def test_a_model_that_a_process_refuses_is_the_only_one_to_go() -> None:
    async with served(cores=2) as models:
        good = await models.add()
        models.processes[1].refuses = BundleInvalid("its answers are wrong")
        with pytest.raises(BundleInvalid, match="its answers are wrong"):
            await models.add()
        assert [process.slots for process in models.processes] == [{models.slots[good].number}] * 2


@in_event_loop
async def test_what_nobody_waits_for_is_not_computed() -> None:
    async with served() as models:
        await models.add(takes_s=0.05)
        calls = models.ask(0, 3)
        await all_has_run()
        calls[1].cancel()
        await all_has_run()
        models.processes[0].finish()
        await all_has_run()
        models.processes[0].finish()
        await all_has_run()
        assert models.processes[0].batches == []
        assert [call.cancelled() for call in calls] == [False, True, False]


@in_event_loop
async def test_a_closed_model_leaves_every_process_and_its_number_to_the_next() -> None:
    async with served(cores=2) as models:
        first = await models.add()
        number = models.slots[first].number
        await models.batchers[first].close()
        assert [process.slots for process in models.processes] == [set(), set()]
        second = await models.add()
        assert models.slots[second].number == number


@in_event_loop
async def test_a_batch_that_is_computed_while_its_model_is_closed_ends() -> None:
    async with served(cores=2) as models:
        await models.add(takes_s=0.05)
        answered, lost = models.ask(0, 2)
        await all_has_run()
        await models.batchers[0].close()
        models.processes[0].finish()
        await answered
        await models.pool.close()
        with pytest.raises(ComputeFailed):
            await lost


@in_event_loop
async def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat_module, "HANGS_AFTER_S", 0.01)
    async with served() as models:
        await models.add(takes_s=0.0001)
        calls = models.ask(0)
        await asyncio.sleep(0.1)
        assert models.processes[0].is_killed
        for call in calls:
            call.cancel()


def test_settings_of_the_first_process_alone_take_all_cores() -> None:
    pool = Pool(2, SHORT_S)
    slot = Slot(3, SETTINGS, 0, pool)
    assert slot.settings_for(pool.seats[0]) == replace(SETTINGS, slot=3)
    assert slot.settings_for(pool.seats[1]) == replace(SETTINGS, slot=3, wide_threads=1)
