"""The Classifier's methods without a server around them, of a model whose answers are known."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import numpy as np
import pytest

from fovea.model.bundle import ModelBundle
from fovea.model.classifier import CPU
from fovea.v1 import classify_pb2 as pb
from server.calls.answering import AccessLog, Calls
from server.calls.service import ClassifierService
from server.compute.backend import WorkItem
from server.compute.engine import Engine
from server.config import ServeSettings
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.priorities import Admission, Priority
from server.queue.worker import Batch, Computed, Owner
from server.telemetry.metrics import Metrics
from tests.server.event_loop import in_event_loop

PROBABILITIES: Final = np.array([0.25, 0.625, 0.125], np.float32)
DECODE_S, COMPUTE_S = 0.25, 0.5


class KnownWorker:
    """Answers every image alike, and keeps how urgent each was, and which are more of a call."""

    capacity = 1

    def __init__(self) -> None:
        self.priorities: list[Priority] = []
        self.are_more: list[bool] = []

    def attach(self, owner: Owner[WorkItem]) -> None:
        self._owner = owner
        owner.available(self)

    def start(self, batch: Batch[WorkItem]) -> None:
        self.priorities += [item.priority for item in batch.items]
        self.are_more += [item.payload.is_more for item in batch.items]
        asyncio.get_running_loop().call_soon(self._finish, batch)

    async def end(self) -> None:
        pass

    def _finish(self, batch: Batch[WorkItem]) -> None:
        count = len(batch.items)
        self._owner.finished(batch, Computed([PROBABILITIES] * count, [DECODE_S] * count, COMPUTE_S, 0.75))


class Ended(Exception):
    pass


class PlainCall:
    """What gRPC gives a handler."""

    def peer(self) -> str:
        return "ipv4:10.0.0.7:51234"

    def time_remaining(self) -> None:
        return None

    async def abort_with_status(self, status: grpc.Status) -> None:
        raise Ended(status.details)


CALL: Any = PlainCall()


@asynccontextmanager
async def service_of(bundle: ModelBundle, worker: KnownWorker) -> AsyncIterator[ClassifierService]:
    metrics = Metrics()
    models: Catalogue[ServedModel] = Catalogue()
    engine = Engine(bundle, CPU, "fp32", [worker], BatchLimits(4), CostModel(), decode_ahead=False)
    model = ServedModel(engine, ServeSettings(models="unused"), metrics.of_model("pets"))
    models.add("pets").swap(model)
    yield ClassifierService(models, Admission(8, 100), Calls(metrics.calls, AccessLog(1)))
    await model.close()


@in_event_loop
async def test_answer_has_the_best_classes_and_what_they_took(tiny_bundle: ModelBundle) -> None:
    async with service_of(tiny_bundle, KnownWorker()) as service:
        for top_k, least, expected in (
            (0, 0.0, [("green", 1, 0.625)]),
            (1, 0.0, [("green", 1, 0.625)]),
            (2, 0.0, [("green", 1, 0.625), ("red", 0, 0.25)]),
            (3, 0.25, [("green", 1, 0.625), ("red", 0, 0.25)]),
            (3, 0.3, [("green", 1, 0.625)]),
            (3, 1.0, []),
        ):
            response = await service.Classify(pb.ClassifyRequest(top_k=top_k, min_probability=least), CALL)
            predictions = [(each.label, each.index, each.probability) for each in response.predictions]
            assert predictions == expected
            took = response.timing
            assert (took.decode_us, took.compute_us, took.batch_size) == (250_000, 500_000, 1)
            assert took.queue_us < 30_000_000


@in_event_loop
async def test_every_method_is_logged_with_what_it_answered(
    tiny_bundle: ModelBundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with service_of(tiny_bundle, KnownWorker()) as service:
        await service.Classify(pb.ClassifyRequest(request_id="one"), CALL)
        await service.ClassifyBatch(pb.ClassifyBatchRequest(images=[b"x"] * 3, request_id="many"), CALL)
        streamed: Any = service.ClassifyStream(requests(2), CALL)
        assert [answer.request_id async for answer in streamed] == ["0", "1"]
        await service.GetModel(pb.GetModelRequest(), CALL)
        with pytest.raises(Ended):
            await service.Classify(pb.ClassifyRequest(top_k=4), CALL)
    entries = [vars(record) for record in caplog.records if record.message == "call"]
    facts = ("method", "code", "request_id", "images", "model_version", "batch_size")
    assert [tuple(entry[fact] for fact in facts) for entry in entries] == [
        ("Classify", "OK", "one", 1, 1, 1),
        ("ClassifyBatch", "OK", "many", 3, 1, 3),
        ("ClassifyStream", "OK", "", 2, 1, 2),
        ("GetModel", "OK", "", 0, 0, 0),
        ("Classify", "INVALID_ARGUMENT", "", 0, 0, 0),
    ]


async def requests(count: int) -> AsyncIterator[pb.ClassifyRequest]:
    for number in range(count):
        yield pb.ClassifyRequest(request_id=f"{number}")


@in_event_loop
async def test_of_each_call_one_image_counts_as_its_first(tiny_bundle: ModelBundle) -> None:
    worker = KnownWorker()
    async with service_of(tiny_bundle, worker) as service:
        await service.ClassifyBatch(pb.ClassifyBatchRequest(images=[b"x"] * 4), CALL)
        await service.Classify(pb.ClassifyRequest(), CALL)
    assert worker.are_more == [False, True, True, True, False]


@in_event_loop
async def test_one_image_is_urgent_and_many_are_not_unless_their_caller_says_so(
    tiny_bundle: ModelBundle,
) -> None:
    worker = KnownWorker()
    async with service_of(tiny_bundle, worker) as service:
        for said in (pb.PRIORITY_UNSPECIFIED, pb.PRIORITY_INTERACTIVE, pb.PRIORITY_BULK):
            await service.Classify(pb.ClassifyRequest(priority=said), CALL)
            await service.ClassifyBatch(pb.ClassifyBatchRequest(images=[b""], priority=said), CALL)
        streamed: Any = service.ClassifyStream(requests(1), CALL)
        assert [answer.HasField("response") async for answer in streamed] == [True]
    urgent, bulk = Priority.INTERACTIVE, Priority.BULK
    assert worker.priorities == [urgent, bulk, urgent, urgent, bulk, bulk, bulk]


@in_event_loop
async def test_fields_are_good_up_to_their_bounds_and_no_further(tiny_bundle: ModelBundle) -> None:
    cases: list[tuple[str, Any, Any]] = [
        ("top_k", 3, 4),
        ("min_probability", 0.0, -0.001),
        ("min_probability", 1.0, 1.001),
        ("request_id", "\u00e4" * 64, "\u00e4" * 64 + "x"),
        ("image", bytes(100), bytes(101)),
        ("model_version", 1, 2),
        ("priority", 2, 3),
    ]
    async with service_of(tiny_bundle, KnownWorker()) as service:
        for field, good, bad in cases:
            assert (await service.Classify(pb.ClassifyRequest(**{field: good}), CALL)).model.version == 1
            with pytest.raises(Ended):
                await service.Classify(pb.ClassifyRequest(**{field: bad}), CALL)
        with pytest.raises(Ended, match="9 more do not fit"):
            await service.ClassifyBatch(pb.ClassifyBatchRequest(images=[b""] * 9), CALL)
