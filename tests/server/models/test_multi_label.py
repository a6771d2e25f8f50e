"""What is counted and captured of a multi-label model's answers."""

import math
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from fovea.capture.reading import read_captures
from fovea.model.bundle import ModelBundle
from server.models.multi_label import selected_counts_of
from server.models.served_model import ModelStatistics
from server.rollout.shadow import Shadow, ShadowAnswer
from server.telemetry.drift import KINDS, LabelDriftGauge, drift_gauges
from server.telemetry.metrics import Metrics
from tests import tiny
from tests.server.event_loop import in_event_loop
from tests.server.models.test_captures import AskedAgain, capturing

BOTH, NONE, CLOSE = [0.9, 0.8, 0.02], [0.01, 0.02, 0.03], [0.9, 0.55, 0.02]
"""Of thresholds of 0.5, 0.6 and 0.3."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return tiny.stage_bundle(tmp_path_factory.mktemp("multi") / "bundle", multi=True)


@in_event_loop
async def test_every_selected_label_is_counted_and_nothing_abstains(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    async with capturing(bundle, tmp_path) as made:
        for answer in (BOTH, BOTH, NONE, CLOSE):
            made.answer(answer, b"image")
        assert [made.count("predictions", label=label) for label in tiny.LABELS] == [3, 2, 0]
        assert made.count("abstained") == 0
        assert made.metrics.registry.get_sample_value("fovea_confidence_ratio_count") == 0


@in_event_loop
async def test_answers_are_captured_whose_label_is_near_its_threshold(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    async with capturing(bundle, tmp_path, capture_margin=0.11) as made:
        made.answer(BOTH, b"sure")
        made.answer(NONE, b"none")
        made.answer(CLOSE, b"close")
    (row,) = read_captures(str(tmp_path))
    assert (row.reason, row.image, row.labels) == ("small_margin", b"close", ("red",))
    assert row.margin == pytest.approx(0.05 / 0.49), "green: 0.55 (1 - 0.6) beside 0.6 (1 - 0.55)"
    assert (row.label, row.abstained) == ("red", False)


@in_event_loop
async def test_answers_with_a_label_that_drifts_are_captured(bundle: ModelBundle, tmp_path: Path) -> None:
    async with capturing(bundle, tmp_path, capture_margin=0, capture_per_hour=3600 * 24) as made:
        for _ in range(1000):
            made.answer(NONE, b"none")
        made.look_for_drift()
        made.answer(NONE, b"none")
        made.answer(BOTH, b"both")
    rows = list(read_captures(str(tmp_path)))
    assert [(row.reason, row.labels) for row in rows] == [("drifting_class", ("red", "green"))]


@in_event_loop
async def test_answers_are_captured_of_which_the_shadow_selects_other_labels(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    again = AskedAgain()
    async with capturing(bundle, tmp_path, capture_margin=0, shadow=cast("Shadow", again)) as made:
        for content in (b"same", b"other"):
            made.answer(BOTH, content)
        assert [image.selected for image in again.images] == [("red", "green")] * 2
        again.then[0](ShadowAnswer("green", 0.8, 4, ("green", "red")))
        again.then[1](ShadowAnswer("red", 0.9, 4, ("red",)))
    (row,) = read_captures(str(tmp_path))
    assert (row.reason, row.image, row.labels) == ("disagreement", b"other", ("red", "green"))
    assert (row.shadow_labels, row.shadow_label, row.shadow_version) == (("red",), "red", 4)


def test_drift_is_of_the_label_whose_rate_is_furthest_off(bundle: ModelBundle) -> None:
    """At the release each of the three was selected for 6 of 12 images."""
    metrics = Metrics().of_model("pets")
    statistics = ModelStatistics(metrics, bundle.contract, "fp32")
    metrics.show_model(bundle, "CPUExecutionProvider", "fp32", statistics.drifts, statistics.accuracy)
    drift = statistics.drifts["classes"]
    counts = selected_counts_of(metrics, bundle.contract, drift)
    assert counts is not None

    def answer(images: int, row: list[float]) -> None:
        for _ in range(images):
            counts.count(np.array(row, np.float32))

    answer(500, [0.9, 0.9, 0.9])
    answer(499, NONE)
    assert math.isnan(drift.psi())
    answer(1, NONE)
    assert drift.psi() < 0.01 < drift.chance()
    for _ in range(2):  # the second window is all that is looked at
        answer(500, [0.9, 0.9, 0.1])
        answer(500, [0.9, 0.1, 0.1])
        last = drift.psi()
    assert last > 1
    assert isinstance(drift, LabelDriftGauge)
    assert drift.drifting() == [0, 2]
    of = {kind: metrics.registry.get_sample_value("fovea_drift_psi", {"of": kind}) for kind in KINDS}
    assert [kind for kind, value in of.items() if not math.isnan(value or 0)] == ["classes"]


def test_of_a_bundle_that_tells_no_rates_there_is_no_drift(bundle: ModelBundle) -> None:
    silent = bundle.contract.model_copy(update={"label_metrics": None})
    gauge = drift_gauges(silent, "fp32")["classes"]
    assert isinstance(gauge, LabelDriftGauge)
    gauge.images, gauge.counts[0] = 5000, 5000
    assert math.isnan(gauge.psi())
    assert math.isnan(gauge.chance())
    assert gauge.drifting() == []
