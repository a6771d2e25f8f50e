import math
import re
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
from server.telemetry.drift import KINDS
from server.telemetry.metrics import Metrics
from tests import tiny


@pytest.fixture(name="metrics")
def fresh_metrics() -> Metrics:
    return Metrics()


def page(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


def drifts_on(metrics: Metrics) -> dict[str, float]:
    samples = re.findall(r'^fovea_drift_psi\{of="(\w+)"\} (\S+)$', "\n".join(page(metrics)), re.MULTILINE)
    return {kind: float(psi) for kind, psi in samples}


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


def test_every_label_of_a_model_is_there_at_0(metrics: Metrics, tiny_bundle: ModelBundle) -> None:
    ModelStatistics(metrics, tiny_bundle.contract, "fp32")
    for label in tiny.LABELS:
        assert f'fovea_predictions_total{{label="{label}"}} 0.0' in page(metrics)


def test_predictions_are_counted_over_the_models_that_made_them(
    metrics: Metrics, tiny_bundle: ModelBundle
) -> None:
    for _ in range(2):
        ModelStatistics(metrics, tiny_bundle.contract, "fp32").count_prediction(2, 0.4, abstained=True)
    assert {'fovea_predictions_total{label="blue"} 2.0', "fovea_abstained_total 2.0"} <= set(page(metrics))


def test_drift_is_the_shown_models(metrics: Metrics, tiny_bundle: ModelBundle) -> None:
    statistics = ModelStatistics(metrics, tiny_bundle.contract, "fp32")
    metrics.show_model(tiny_bundle, "CPUExecutionProvider", "fp32", statistics.drifts)
    for kind in KINDS:
        assert {f'fovea_drift_psi{{of="{kind}"}} NaN', f'fovea_drift_psi_chance{{of="{kind}"}} NaN'} <= set(
            page(metrics)
        )
    for _ in range(1000):
        statistics.count_prediction(0, 0.9, abstained=False)
    drifts = drifts_on(metrics)
    assert drifts["classes"] > 1
    assert math.isnan(drifts["confidence"])  # of which the tiny model's contract does not tell
    assert math.isnan(drifts["abstentions"])


def test_a_model_that_abstains_and_was_sure_has_drifted(metrics: Metrics, tiny_bundle: ModelBundle) -> None:
    contract = tiny_bundle.contract
    measured = {"images": 1200, "confidences": (*[0] * 18, 300, 900), "abstained": 0}
    sure = contract.metrics.model_copy(update=measured)
    statistics = ModelStatistics(metrics, contract.model_copy(update={"metrics": sure}), "fp32")
    metrics.show_model(tiny_bundle, "CPUExecutionProvider", "fp32", statistics.drifts)
    for n in range(1200):
        statistics.count_prediction(n % 3, 0.95 if n % 20 else 1.0, abstained=False)
    assert max(drifts_on(metrics).values()) < 0.1
    for n in range(3000):
        statistics.count_prediction(n % 3, 0.35, abstained=True)
        if n % 1000 == 0:  # what was asked for last begins a window
            page(metrics)
    drifts = drifts_on(metrics)
    assert drifts["classes"] < 0.1
    assert min(drifts["confidence"], drifts["abstentions"]) > 1


def test_verdict_of_the_shown_model_is_a_label(metrics: Metrics, tiny_bundle: ModelBundle) -> None:
    contract = tiny_bundle.contract
    drifts = ModelStatistics(metrics, contract, "fp32").drifts
    for verdict, word in ((None, "none"), (Opinion(word="Fit to ship"), "Fit to ship")):
        bundle = replace(tiny_bundle, contract=contract.model_copy(update={"verdict": verdict}))
        metrics.show_model(bundle, "CPUExecutionProvider", "fp32", drifts)
        (info,) = [line for line in page(metrics) if line.startswith("fovea_model_info{")]
        assert f'verdict="{word}"' in info


def test_no_series_tells_when_another_was_made(metrics: Metrics) -> None:
    assert not [line for line in page(metrics) if "_created" in line]
