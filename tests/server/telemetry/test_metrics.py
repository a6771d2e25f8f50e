from dataclasses import replace

import pytest
from prometheus_client import generate_latest

from fovea.errors import ImageInvalid
from fovea.images.preprocess import REASONS as IMAGE_REASONS
from fovea.model.bundle import ModelBundle
from fovea.model.measured import Opinion
from server.errors import Draining, QueueFull
from server.statuses import REASONS, reason_of
from server.telemetry.drift import drift_gauges
from server.telemetry.metrics import Metrics


@pytest.fixture(name="metrics")
def fresh_metrics() -> Metrics:
    return Metrics()


def page(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


@pytest.mark.parametrize(
    "method", ["Classify", "ClassifyBatch", "ClassifyStream", "GetModel", "ModelInfer", "ServerReady"]
)
@pytest.mark.parametrize(
    "code", ["OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL"]
)
def test_every_end_of_a_call_is_there_at_0(metrics: Metrics, method: str, code: str) -> None:
    assert f'fovea_requests_total{{code="{code}",method="{method}"}} 0.0' in page(metrics)


def test_every_reason_for_a_refusal_is_there_at_0(metrics: Metrics) -> None:
    assert {reason_of(error) for error in (QueueFull("full", 0.1), Draining(), ValueError())} <= set(REASONS)
    assert {reason_of(ImageInvalid(reason, "")) for reason in IMAGE_REASONS} <= set(REASONS)
    for reason in REASONS:
        assert f'fovea_refused_total{{reason="{reason}"}} 0.0' in page(metrics)


def test_verdict_of_the_shown_model_is_a_label(metrics: Metrics, tiny_bundle: ModelBundle) -> None:
    shown = metrics.of_model("pets")
    contract = tiny_bundle.contract
    drifts = drift_gauges(contract, "fp32")
    for verdict, word in ((None, "none"), (Opinion(word="Fit to ship"), "Fit to ship")):
        bundle = replace(tiny_bundle, contract=contract.model_copy(update={"verdict": verdict}))
        shown.show_model(bundle, "CPUExecutionProvider", "fp32", drifts)
        (info,) = [line for line in page(metrics) if line.startswith("fovea_model_info{")]
        assert f'verdict="{word}"' in info


def test_no_series_tells_when_another_was_made(metrics: Metrics) -> None:
    assert not [line for line in page(metrics) if "_created" in line]
