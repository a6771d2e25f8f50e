from typing import Any

import numpy as np
import pytest
from prometheus_client.openmetrics.exposition import generate_latest

from fovea.model.bundle import ModelBundle
from fovea.model.classifier import CPU
from server.compute.backend import WorkItem
from server.compute.engine import Engine
from server.config import ServeSettings
from server.models.served_model import ServedModel
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.priorities import ItemResult
from server.queue.worker import ThreadWorker
from server.telemetry.exemplars import EXEMPLAR
from server.telemetry.metrics import Metrics
from tests.server.event_loop import in_event_loop
from tests.server.gated_model import GatedModel
from tests.server.manual_clock import ManualClock


@in_event_loop
async def test_a_caller_comes_back_after_a_quarter_of_the_wait_but_neither_at_once_nor_late(
    tiny_bundle: ModelBundle,
) -> None:
    for wait_s, retry_s in ((8.0, 2.0), (0.01, 0.05), (100.0, 10.0)):
        costs = CostModel([(1, wait_s)], clock=ManualClock())
        workers = [ThreadWorker[Any](GatedModel())]
        engine = Engine(tiny_bundle, CPU, "fp32", workers, BatchLimits(1), costs, decode_ahead=False)
        model = ServedModel(engine, ServeSettings(models="unused"), Metrics().of_model("pets"))
        assert model.retry_after_s() == pytest.approx(retry_s)
        await model.close()


@in_event_loop
async def test_a_kept_trace_is_the_example_of_what_its_images_took(tiny_bundle: ModelBundle) -> None:
    metrics = Metrics()
    workers = [ThreadWorker[Any](GatedModel())]
    engine = Engine(tiny_bundle, CPU, "fp32", workers, BatchLimits(1), CostModel(), decode_ahead=False)
    model = ServedModel(engine, ServeSettings(models="unused"), metrics.of_model("pets"))
    answer = ItemResult(np.array([0.5, 0.25, 0.25], np.float32), 1, 0.2, 0.02, 0.01)
    model.counted(answer, WorkItem(b""))
    assert "# {" not in page_of(metrics), "of no trace"
    EXEMPLAR.set({"trace_id": "f" * 32})
    model.counted(answer, WorkItem(b""))
    examples = [line for line in page_of(metrics).splitlines() if "# {" in line]
    for of_image, le in (("decode", "0.025"), ("queue", "0.25")):
        (line,) = [each for each in examples if each.startswith(f"fovea_{of_image}_seconds")]
        assert f'le="{le}"' in line
        assert f'trace_id="{"f" * 32}"' in line
    await model.close()


def page_of(metrics: Metrics) -> str:
    return str(generate_latest(metrics.registry).decode())  # type: ignore[no-untyped-call]
