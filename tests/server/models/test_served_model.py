from typing import Any

import pytest

from fovea.model.bundle import ModelBundle
from fovea.model.classifier import CPU
from server.compute.engine import Engine
from server.config import ServeSettings
from server.models.served_model import ServedModel
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.worker import ThreadWorker
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
