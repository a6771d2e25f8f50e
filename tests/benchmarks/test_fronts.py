"""What the benchmark of fronts says, and the engine that costs nothing."""

import asyncio

import numpy as np

from benchmarks.fronts import Seen, failures, table
from benchmarks.standin_server import open_free_engine
from fovea.cpus import available_cpus
from fovea.model.bundle import ModelBundle
from server.compute.backend import WorkItem
from server.config import ServeSettings
from server.models.served_model import ServedModel
from server.net.ports import serve_metrics
from server.telemetry.metrics import Metrics
from tests.server.event_loop import in_event_loop


def test_medians_are_told_and_several_fronts_have_what_the_callers_leave() -> None:
    cores = available_cpus()
    one = [Seen(calls_s, 1.0, 0.5, call_ms) for calls_s, call_ms in ((100, 0.5), (400, 0.1), (200, 0.25))]
    two = [Seen(300.0, 1.5, cores / 4, 0.75)]
    *_, first, second = table({1: one, 2: two})
    assert first == "| 1 | 0.250 | 200 | 1.00 | 0.50 | 200 |"
    assert second == f"| 2 | 0.750 | 300 | 1.50 | {cores / 4:.2f} | 400 |"


def test_calls_that_failed_are_told_from_answers() -> None:
    metrics = Metrics()
    for code, count in (("OK", 9), ("CANCELLED", 2), ("INVALID_ARGUMENT", 3), ("RESOURCE_EXHAUSTED", 1)):
        metrics.calls.requests.labels("Classify", code).inc(count)
    metrics.calls.requests.labels("ModelInfer", "INVALID_ARGUMENT").inc()
    port = serve_metrics(metrics.registry, "127.0.0.1", 0)
    assert failures(port) == {"INVALID_ARGUMENT": 4, "RESOURCE_EXHAUSTED": 1}


@in_event_loop
async def test_the_engine_that_costs_nothing_answers_every_image_alike(tiny_bundle: ModelBundle) -> None:
    settings = ServeSettings(models="unused")
    model = ServedModel(await open_free_engine(tiny_bundle, settings), settings, Metrics().of_model("pets"))
    answers = await asyncio.gather(*(model.classify(WorkItem(b"no image"), None) for _ in range(40)))
    assert all(np.allclose(answer.probabilities, 1 / 3) for answer in answers)
    await model.close()
