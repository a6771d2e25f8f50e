"""What a served model counts shows on the page of the metrics, and as drift."""

import math

import pytest

from fovea.model.bundle import ModelBundle
from fovea.model.distance import psi_by_chance
from server.models.distances import MeasuredDistances
from server.models.served_model import ModelStatistics
from server.telemetry.drift import KINDS, drift_gauges
from server.telemetry.metrics import Metrics
from server.telemetry.model_metrics import ModelMetrics
from tests import tiny


@pytest.fixture(name="metrics")
def fresh_metrics() -> ModelMetrics:
    return Metrics().of_model("pets")


def sample(metrics: ModelMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"fovea_{name}", labels)


def drifts_on(metrics: ModelMetrics) -> dict[str, float]:
    psi = {kind: sample(metrics, "drift_psi", of=kind) for kind in KINDS}
    return {kind: math.inf if value is None else value for kind, value in psi.items()}


def test_every_label_of_a_model_is_there_at_0(metrics: ModelMetrics, tiny_bundle: ModelBundle) -> None:
    ModelStatistics(metrics, tiny_bundle.contract, "fp32")
    assert [sample(metrics, "predictions_total", label=label) for label in tiny.LABELS] == [0, 0, 0]


def test_predictions_are_counted_over_the_models_that_made_them(
    metrics: ModelMetrics, tiny_bundle: ModelBundle
) -> None:
    for _ in range(2):
        ModelStatistics(metrics, tiny_bundle.contract, "fp32").count_prediction(2, 0.4, abstained=True)
    ModelStatistics(metrics, tiny_bundle.contract, "fp32").count_prediction(0, 0.9, abstained=False)
    assert [sample(metrics, "predictions_total", label=label) for label in tiny.LABELS] == [1, 0, 2]
    assert sample(metrics, "abstained_total") == 2
    assert sample(metrics, "confidence_ratio_bucket", le="0.4") == 2
    assert sample(metrics, "confidence_ratio_count") == 3


def test_answers_are_counted_by_their_probability_and_what_is_no_number_is_not(
    metrics: ModelMetrics, tiny_bundle: ModelBundle
) -> None:
    statistics = ModelStatistics(metrics, tiny_bundle.contract, "fp32")
    for confidence in (0.52, 1.0, 0.54, math.nan, -1.0):
        statistics.count_prediction(0, confidence, abstained=False)
    assert {place: images for place, images in enumerate(statistics.accuracy.images) if images} == {
        10: 2,
        19: 1,
    }
    assert statistics.accuracy.confidence[10] == pytest.approx(1.06)


def test_batches_are_counted_by_their_images_and_in_the_metrics(
    metrics: ModelMetrics, tiny_bundle: ModelBundle
) -> None:
    statistics = ModelStatistics(metrics, tiny_bundle.contract, "fp32")
    for images, compute_s in ((4, 0.5), (1, 0.25), (4, 1.0)):
        statistics.count_batch(images, compute_s)
    assert statistics.images == 9
    batches = {images: (tally.count, tally.seconds) for images, tally in statistics.batches.items()}
    assert batches == {4: (2, 1.5), 1: (1, 0.25)}
    assert sample(metrics, "batch_images_sum") == 9
    assert sample(metrics, "compute_seconds_sum") == 1.75


def test_distances_are_counted_and_those_beyond_the_threshold_are_unknown(
    metrics: ModelMetrics, tiny_bundle: ModelBundle
) -> None:
    contract = tiny_bundle.contract
    statistics = ModelStatistics(metrics, contract, "fp32")
    metrics.show_model(tiny_bundle, "CPUExecutionProvider", "fp32", statistics.drifts, statistics.accuracy)
    distances = MeasuredDistances(contract, metrics, statistics.drifts["distances"], 0)
    for distance in (0.0, 1.5, 1.51, 9.0):
        distances.count(distance)
    assert sample(metrics, "unknown_total") == 2
    assert sample(metrics, "distance_count") == 4
    assert sample(metrics, "distance_sum") == pytest.approx(12.01)
    for _ in range(1000):
        distances.count(5.0)
    assert drifts_on(metrics)["distances"] > 1


def test_distances_are_compared_with_those_of_the_held_out_images_however_many_were_tested_on(
    tiny_bundle: ModelBundle,
) -> None:
    contract = tiny_bundle.contract
    tested = contract.metrics.model_copy(update={"images": 5000})
    drift = drift_gauges(contract.model_copy(update={"metrics": tested}), "fp32")["distances"]
    drift.counts[:] = [400, 200, 300, 300]
    assert drift.psi() < 0.01
    assert drift.chance() == pytest.approx(psi_by_chance(1200, 12, 4))
    told = {"out_of_distribution": tiny.NOVELTY.model_copy(update={"images_by_part": None})}
    older = drift_gauges(contract.model_copy(update=told), "fp32")["distances"]
    older.counts[:] = [400, 200, 300, 300]
    assert math.isnan(older.psi())


def test_sample_of_the_images_is_measured_where_the_model_can(
    metrics: ModelMetrics, tiny_bundle: ModelBundle
) -> None:
    contract = tiny_bundle.contract
    drift = ModelStatistics(metrics, contract, "fp32").drifts["distances"]
    tenth = MeasuredDistances(contract, metrics, drift, 0.1)
    assert tenth.is_sampled
    assert 0.07 < sum(tenth.draw() for _ in range(10_000)) / 10_000 < 0.13
    older = contract.model_copy(update={"out_of_distribution": None})
    assert not MeasuredDistances(older, metrics, drift, 1).is_sampled
    assert not MeasuredDistances(contract, metrics, drift, 0).is_sampled


def test_drift_is_the_shown_models(metrics: ModelMetrics, tiny_bundle: ModelBundle) -> None:
    statistics = ModelStatistics(metrics, tiny_bundle.contract, "fp32")
    metrics.show_model(tiny_bundle, "CPUExecutionProvider", "fp32", statistics.drifts, statistics.accuracy)
    assert all(map(math.isnan, drifts_on(metrics).values()))
    assert all(math.isnan(sample(metrics, "drift_psi_chance", of=kind) or 0) for kind in KINDS)
    for _ in range(1000):
        statistics.count_prediction(0, 0.9, abstained=False)
    drifts = drifts_on(metrics)
    assert drifts["classes"] > 1
    assert math.isnan(drifts["confidence"])  # of which the tiny model's contract does not tell
    assert math.isnan(drifts["abstentions"])


def test_a_model_that_abstains_and_was_sure_has_drifted(
    metrics: ModelMetrics, tiny_bundle: ModelBundle
) -> None:
    contract = tiny_bundle.contract
    measured = {"images": 1200, "confidences": (*[0] * 18, 300, 900), "abstained": 0}
    sure = contract.metrics.model_copy(update=measured)
    statistics = ModelStatistics(metrics, contract.model_copy(update={"metrics": sure}), "fp32")
    metrics.show_model(tiny_bundle, "CPUExecutionProvider", "fp32", statistics.drifts, statistics.accuracy)
    for n in range(1200):
        statistics.count_prediction(n % 3, 0.95 if n % 20 else 1.0, abstained=False)
    assert max(drifts_on(metrics).values()) < 0.1
    for n in range(3000):
        statistics.count_prediction(n % 3, 0.35, abstained=True)
        if n % 1000 == 0:  # what was asked for last begins a window
            drifts_on(metrics)
    drifts = drifts_on(metrics)
    assert drifts["classes"] < 0.1
    assert min(drifts["confidence"], drifts["abstentions"]) > 1
