import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest

from fovea.errors import BundleInvalid, ImageInvalid
from fovea.images.preprocess import decode_image
from fovea.model import bundle as bundles
from fovea.model.bundle import ModelBundle, read_contract
from fovea.model.classifier import Classifier
from server.compute import process_worker, restarts, wire
from server.compute.backend import WorkItem
from server.compute.process_worker import Connection, ProcessWorker
from server.compute.start_up import ProcessReady, ProcessSettings
from server.compute.wants import LOGITS
from server.compute.warm_up import WarmUp
from server.errors import ComputeFailed, NoModelReady
from server.queue.batch_policy import BatchLimits
from server.queue.batcher import Batcher
from server.queue.priorities import ItemResult
from server.queue.worker import Batch, Computed, Worker
from tests import tiny
from tests.server.event_loop import in_event_loop, until

MAX_BATCH_SIZE = 4


def settings(bundle: Path) -> ProcessSettings:
    return ProcessSettings(
        bundle=str(bundle),
        digest=read_contract(bundle).files["model.onnx"],
        precision="fp32",
        model_cache="",
        wide_threads=2,
        max_batch_size=4,
        target_batch_s=0.01,
        max_bytes=1_000_000,
        max_pixels=1_000_000,
        log_level="info",
        log_format="json",
    )


@asynccontextmanager
async def batching(bundle: Path) -> AsyncIterator[tuple[Batcher[WorkItem], ProcessWorker]]:
    worker = ProcessWorker(settings(bundle))
    await worker.open()
    batcher = Batcher([worker], BatchLimits(MAX_BATCH_SIZE))
    try:
        yield batcher, worker
    finally:
        await batcher.close()


async def gone(pid: int) -> None:
    """Waits until the process has ended and its parent knows."""
    await until(lambda: not os.path.exists(f"/proc/{pid}"))  # noqa: PTH110


async def answered(batcher: Batcher[WorkItem], image: bytes) -> ItemResult:
    """Of one image, as soon as there is a process again."""
    while True:
        try:
            return await batcher.classify(WorkItem(image))
        except NoModelReady:
            await asyncio.sleep(0.01)


def process_of(worker: ProcessWorker) -> int:
    assert worker.pid
    return worker.pid


@in_event_loop
async def test_answers_are_the_models_own(tiny_bundle: ModelBundle, tiny_classifier: Classifier) -> None:
    images = [tiny.picture(label, (30 + 3 * index, 25)) for index, label in enumerate(tiny.LABELS * 3)]
    crops = np.stack([decode_image(image, tiny.SPEC) for image in images])
    async with batching(tiny_bundle.path) as (batcher, _):
        answers = await asyncio.gather(*map(batcher.classify, map(WorkItem, images)))
    probabilities = np.stack([answer.row for answer in answers])
    assert np.array_equal(probabilities, tiny_classifier.classify(crops))
    assert all(answer.decode_s > 0 and answer.compute_s > 0 for answer in answers)


@in_event_loop
async def test_crops_and_logits_come_through_beside_encoded_images(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    image = tiny.picture((120, 90, 70))
    crop = decode_image(image, tiny.SPEC)
    probabilities, logits = tiny_classifier.classify_with_logits(crop[np.newaxis])[0]
    async with batching(tiny_bundle.path) as (batcher, _):
        pixels = memoryview(crop.tobytes())
        kinds = [
            WorkItem(image),
            WorkItem(pixels, is_crop=True),
            WorkItem(image, wants=LOGITS),
            WorkItem(b"not an image"),
            WorkItem(pixels, is_crop=True, wants=LOGITS),
        ]
        encoded, of_crop, of_logits, bad, both = await asyncio.gather(
            *map(batcher.classify, kinds), return_exceptions=True
        )
    assert isinstance(bad, ImageInvalid)
    with_logits = np.concatenate([probabilities, logits])
    for answer, expected in (
        (encoded, probabilities),
        (of_crop, probabilities),
        (of_logits, with_logits),
        (both, with_logits),
    ):
        assert isinstance(answer, ItemResult)
        assert np.array_equal(answer.row, expected)


@in_event_loop
async def test_a_bad_image_spoils_only_itself(tiny_bundle: ModelBundle) -> None:
    async with batching(tiny_bundle.path) as (batcher, _):
        images = [tiny.picture("red"), b"not an image", tiny.picture("blue"), b""]
        red, bad, blue, empty = await asyncio.gather(
            *map(batcher.classify, map(WorkItem, images)), return_exceptions=True
        )
    assert isinstance(bad, ImageInvalid)
    assert bad.reason == "not_an_image"
    assert isinstance(empty, ImageInvalid)
    assert [int(answer.row.argmax()) for answer in (red, blue)] == [0, 2]  # type: ignore[union-attr]


@in_event_loop
async def test_a_large_batch_comes_through(tiny_bundle: ModelBundle) -> None:
    padded = tiny.picture("green", kind="JPEG") + bytes(900_000)
    async with batching(tiny_bundle.path) as (batcher, _):
        answers = await asyncio.gather(*(batcher.classify(WorkItem(padded)) for _ in range(12)))
    assert {int(answer.row.argmax()) for answer in answers} == {1}


@in_event_loop
async def test_a_process_that_died_is_replaced_and_its_images_are_answered(tiny_bundle: ModelBundle) -> None:
    async with batching(tiny_bundle.path) as (batcher, worker):
        first = process_of(worker)
        os.kill(first, signal.SIGSTOP)
        batches = [asyncio.create_task(batcher.classify(WorkItem(tiny.picture("red")))) for _ in range(2)]
        await until(lambda: batcher.running == 2)
        os.kill(first, signal.SIGKILL)
        answers = await asyncio.gather(*batches)
        assert worker.pid != first
    assert [int(answer.row.argmax()) for answer in answers] == [0, 0]


@in_event_loop
async def test_the_batch_in_the_hand_of_a_process_that_died_is_answered_too(tiny_bundle: ModelBundle) -> None:
    async with batching(tiny_bundle.path) as (batcher, worker):
        os.kill(process_of(worker), signal.SIGSTOP)
        labels = [*tiny.LABELS * 4][: 2 * MAX_BATCH_SIZE]
        images = [tiny.picture(label) for label in labels]
        batches = [asyncio.create_task(batcher.classify(WorkItem(image))) for image in images]
        await until(lambda: batcher.running == 2 * MAX_BATCH_SIZE)
        os.kill(process_of(worker), signal.SIGKILL)
        answers = await asyncio.gather(*batches)
    assert [tiny.LABELS[answer.row.argmax()] for answer in answers] == labels


@in_event_loop
async def test_a_process_that_dies_idle_costs_no_image(tiny_bundle: ModelBundle) -> None:
    async with batching(tiny_bundle.path) as (batcher, worker):
        os.kill(process_of(worker), signal.SIGKILL)
        assert (await answered(batcher, tiny.picture("green"))).row.argmax() == 1


@in_event_loop
async def test_it_is_told_when_the_last_process_is_lost_and_when_one_is_back(
    tiny_bundle: ModelBundle,
) -> None:
    workers = [ProcessWorker(settings(tiny_bundle.path)) for _ in range(2)]
    await asyncio.gather(*(worker.open() for worker in workers))
    batcher = Batcher(workers, BatchLimits(4))
    changes: list[bool] = []
    batcher.on_workers_changed = lambda: changes.append(batcher.has_workers)
    for worker in workers:
        os.kill(process_of(worker), signal.SIGKILL)
    await until(lambda: len(changes) == 2)
    await batcher.close()
    assert changes == [False, True]


@in_event_loop
async def test_a_process_that_died_before_it_had_work_is_replaced(tiny_bundle: ModelBundle) -> None:
    worker = ProcessWorker(settings(tiny_bundle.path))
    await worker.open()
    os.kill(process_of(worker), signal.SIGKILL)
    await until(lambda: worker.pid is None)
    batcher = Batcher([worker], BatchLimits(4))
    assert (await answered(batcher, tiny.picture("green"))).row.argmax() == 1
    await batcher.close()


@in_event_loop
async def test_a_process_that_cannot_be_started_again_is_tried_until_it_can(
    tiny_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with batching(tiny_bundle.path) as (batcher, worker):
        failures = iter([BlockingIOError(11, "Resource temporarily unavailable")])
        start = process_worker._start

        def start_after_a_failure() -> Any:
            for failure in failures:
                raise failure
            return start()

        monkeypatch.setattr(process_worker, "_start", start_after_a_failure)
        monkeypatch.setattr(restarts, "RESTART_AFTER_S", Pauses(restarts.RESTART_AFTER_S))
        os.kill(process_of(worker), signal.SIGKILL)
        assert (await answered(batcher, tiny.picture("green"))).row.argmax() == 1


class Pauses(tuple[float, ...]):
    """No pause at all, but it is known which it would have been."""

    def __init__(self, pauses: Iterable[float]) -> None:
        self.taken: list[int] = []

    def __getitem__(self, index: Any) -> Any:
        self.taken.append(index)
        return 0.0


READY = ProcessReady("fp32", WarmUp(0.1, ((1, 0.2),)), run_images=1)


class Opened:
    """A connection to a process that comes up at once."""

    pid = 1

    def __init__(self, worker: ProcessWorker) -> None:
        pass

    async def open(self, settings: ProcessSettings) -> ProcessReady:
        return READY

    def send(self, parts: list[bytes | memoryview]) -> None:
        pass

    def kill(self) -> None:
        self.is_killed = True

    is_killed = False

    async def close(self) -> None:
        pass


@in_event_loop
async def test_pauses_grow_only_with_deaths_in_a_row_that_nothing_was_computed_between(
    tiny_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = Pauses(restarts.RESTART_AFTER_S)
    monkeypatch.setattr(restarts, "RESTART_AFTER_S", pauses)
    monkeypatch.setattr(process_worker, "Connection", Opened)
    worker = ProcessWorker(settings(tiny_bundle.path))
    await worker.open()
    batcher = Batcher([worker], BatchLimits(4))
    for _ in range(9):
        worker.lost()
        await until(lambda: worker.pid is not None)
    batch = asyncio.create_task(batcher.classify(WorkItem(b"")))
    await until(lambda: batcher.running == 1)
    worker.received(wire.FAILED, b"a batch that failed, but the process lives")
    with pytest.raises(ComputeFailed):
        await batch
    for _ in range(2):
        worker.lost()
        await until(lambda: worker.pid is not None)
    await batcher.close()
    assert pauses.taken == [0, 1, 2, 3, 4, 5, 6, 6, 6, 0, 1]


@in_event_loop
async def test_a_process_that_hangs_is_ended_and_its_image_is_tried_again(
    tiny_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_worker, "HANGS_AFTER_S", 0.1)
    async with batching(tiny_bundle.path) as (batcher, worker):
        first = process_of(worker)
        os.kill(first, signal.SIGSTOP)
        assert (await batcher.classify(WorkItem(tiny.picture("red")))).row.argmax() == 0
        assert worker.pid != first


class Listener:
    """Keeps which batches ended, in their order."""

    def __init__(self) -> None:
        self.ended: list[Batch[WorkItem]] = []

    @property
    def queued_s(self) -> float:
        return 0.0

    def finished(self, batch: Batch[WorkItem], result: Computed | Exception) -> None:
        self.ended.append(batch)

    def available(self, worker: Worker[WorkItem]) -> None:
        pass

    def lost(self, worker: Worker[WorkItem], why: str = "") -> None:
        pass


@in_event_loop
async def test_the_batch_in_hand_may_take_as_long_as_any_and_is_the_first_to_be_lost(
    tiny_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_worker, "Connection", Opened)
    worker, listener = ProcessWorker(settings(tiny_bundle.path)), Listener()
    await worker.open()
    worker.attach(listener)
    first, second, third = (Batch[WorkItem]([], False, 0.0, 0.0) for _ in range(3))
    worker.start(first)
    worker.start(second)
    monkeypatch.setattr(process_worker, "HANGS_AFTER_S", 0.001)  # from now on
    worker.received(wire.FAILED, b"")
    monkeypatch.setattr(process_worker, "HANGS_AFTER_S", 3600.0)
    worker.start(third)  # which does not put off the end of the second
    connection = cast("Opened", worker._connection)
    await until(lambda: connection.is_killed)
    worker.lost()
    assert listener.ended == [first, third, second]
    await worker.end()


@in_event_loop
async def test_a_batch_comes_after_what_is_still_to_be_sent_of_the_one_before(
    tiny_bundle: ModelBundle,
) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = Connection(ProcessWorker(settings(tiny_bundle.path)))
    loop = asyncio.get_running_loop()
    connection._socket = ours
    connection._transport, _ = await loop.create_unix_connection(lambda: connection, sock=ours)
    with theirs:
        connection.send([b"1" * 2_000_000])
        received = theirs.recv(100_000)  # which makes room in the socket
        connection.send([b"2" * 1000])
        theirs.setblocking(False)
        while len(received) < 2_001_000:
            received += await loop.sock_recv(theirs, 1_000_000)
    assert received == b"1" * 2_000_000 + b"2" * 1000
    await connection.close()


@in_event_loop
async def test_closing_does_not_wait_for_a_process_that_hangs(tiny_bundle: ModelBundle) -> None:
    async with batching(tiny_bundle.path) as (batcher, worker):
        os.kill(process_of(worker), signal.SIGSTOP)
        lone = asyncio.create_task(batcher.classify(WorkItem(tiny.picture("red"))))
        await until(lambda: batcher.running == 1)
    with pytest.raises(ComputeFailed):
        await lone


@in_event_loop
async def test_hangups_and_interrupts_are_left_to_the_server(tiny_bundle: ModelBundle) -> None:
    async with batching(tiny_bundle.path) as (batcher, worker):
        first = process_of(worker)
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(first, signum)
        assert (await batcher.classify(WorkItem(tiny.picture("red")))).row.argmax() == 0
        assert worker.pid == first
        assert os.getpgid(first) != os.getpgid(0)


@in_event_loop
async def test_the_process_ends_with_its_worker(tiny_bundle: ModelBundle) -> None:
    async with batching(tiny_bundle.path) as (_, worker):
        pid = process_of(worker)
    await gone(pid)


@in_event_loop
async def test_a_bad_model_is_refused_as_it_opens(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    bundle = tiny.stage_bundle(folder)
    model = onnx.load(folder / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, folder / "model.onnx")
    bundles.seal(folder, bundle.contract)
    with pytest.raises(BundleInvalid, match="carries no contract"):
        await ProcessWorker(settings(folder)).open()


@in_event_loop
async def test_opening_can_be_cancelled(tiny_bundle: ModelBundle) -> None:
    worker = ProcessWorker(settings(tiny_bundle.path))
    opening = asyncio.create_task(worker.open())
    await until(lambda: worker.pid is not None)
    pid = process_of(worker)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await gone(pid)
