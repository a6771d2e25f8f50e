from dataclasses import replace

import pytest
from prometheus_client import generate_latest

from fovea.errors import ImageInvalid
from fovea.images.preprocess import REASONS as IMAGE_REASONS
from fovea.model.bundle import ModelBundle
from fovea.model.measured import Opinion
from server.errors import Draining, QueueFull
from server.models.served_model import ModelStatistics
from server.statuses import REASONS, reason_of
from server.telemetry.drift import AccuracyGauge, drift_gauges
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
        shown.show_model(bundle, "CPUExecutionProvider", "fp32", drifts, AccuracyGauge(contract.metrics))
        (info,) = [line for line in page(metrics) if line.startswith("fovea_model_info{")]
        assert f'verdict="{word}"' in info


def test_the_accuracy_to_expect_is_told_with_its_interval(metrics: Metrics, tiny_bundle: ModelBundle) -> None:
    bins = {"confidences": (*[0] * 19, 400), "right_by_confidence": (*[0] * 19, 380)}
    contract = tiny_bundle.contract.model_copy(
        update={"metrics": tiny_bundle.contract.metrics.model_copy(update=bins)}
    )
    shown = metrics.of_model("pets")
    assert {'fovea_expected_accuracy{of="mean"} NaN', "fovea_released_accuracy NaN"} <= {*page(metrics)}
    counted = ModelStatistics(shown, contract, "fp32")
    bundle = replace(tiny_bundle, contract=contract)
    shown.show_model(bundle, "CPUExecutionProvider", "fp32", counted.drifts, counted.accuracy)
    for _ in range(1000):
        counted.count_prediction(0, 0.96, abstained=False)
    series = dict(
        line.rsplit(" ", 1) for line in page(metrics) if line.startswith("fovea_expected_accuracy{")
    )
    low, mean, high = (
        float(series[f'fovea_expected_accuracy{{of="{of}"}}']) for of in ("low", "mean", "high")
    )
    assert mean == pytest.approx((380 + 3 * 0.96) / 403)
    assert 0.9 < low < mean < high < 0.99
    assert f"fovea_released_accuracy {contract.metrics.accuracy}" in page(metrics)


def test_no_series_tells_when_another_was_made(metrics: Metrics) -> None:
    assert not [line for line in page(metrics) if "_created" in line]
