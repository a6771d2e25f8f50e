"""A night whose classes are as ever, and whose model is not sure of them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fovea.errors import DataInvalid
from fovea.model import versions
from fovea.model.bundle import seal
from fovea.model.distance import psi, psi_by_chance
from scorer.committing.class_distribution import ClassDistribution
from scorer.committing.drift import Drifts, Reference, drift_between, drifts, score
from scorer.files.summary import DRIFTS, DriftScore, HeldOutSummary
from tests.scorer.committing.test_summary import latest, night, read_summary, summary_page
from tests.scorer.made_runs import Image, commit, make_run, rewrite
from tests.tiny import stage_bundle


def images(sure: int, unsure: int) -> list[Image]:
    """Of either label half."""
    labels, probabilities = ("red", "blue"), [0.97] * sure + [0.4] * unsure
    return [Image(f"{n:04}.jpg", labels[n % 2], p) for n, p in enumerate(probabilities)]


def words(compared: dict[str, Any]) -> dict[str, str | None]:
    return {what: compared[name] and compared[name]["word"] for name, what in DRIFTS.items()}


def publish(models: Path, staging: Path, tells_confidence: bool = True) -> dict[str, Any]:
    """The model that the runs are by: what a run's spec says of it."""
    bundle = stage_bundle(staging)
    metrics = bundle.contract.metrics
    if tells_confidence:
        rows = {label: row.model_copy(update={"images": 40}) for label, row in metrics.per_class.items()}
        bins = {"confidences": (*[0] * 19, 120), "right_by_confidence": (*[0] * 19, 114)}
        update = {"images": 120, **bins, "abstained": 0, "per_class": rows}
        metrics = metrics.model_copy(update=update)
    contract = bundle.contract.model_copy(update={"metrics": metrics})
    versions.publish(seal(bundle.path, contract), str(models))
    return {"models": str(models), "model_digest": bundle.digest}


def test_a_night_of_abstentions_has_drifted_from_the_last_one_and_is_held_back(output: Path) -> None:
    night(output, 1, images(220, 7))
    run = make_run(output, [images(6, 221)], "night-2", day=2)
    with pytest.raises(DataInvalid, match="probabilities of its best labels are too far from the last run's"):
        commit(*run, "--max-drift", "0.25")
    assert latest(output) == "night-1"
    summary = read_summary(output, "night-2")
    assert words(summary["last"]) == {"classes": "none", "confidence": "large", "abstentions": "large"}
    page = summary_page(output, "night-2")
    assert re.search(r"<dt>drift from last run</dt><dd class=\"large\">large</dd>", page)
    assert "This run was held back:" in page
    assert re.search(r'"large">a large change</b> \(PSI \S+, by chance up to \S+\) in the share', page)


def test_abstentions_alone_hold_a_night_back(output: Path) -> None:
    """By a threshold that lies in the tenth that all probabilities are in."""

    def abstain(rows: pa.Table) -> pa.Table:
        column = rows.schema.get_field_index("abstained")
        return rows.set_column(column, "abstained", pa.array([n % 2 == 0 for n in range(len(rows))]))

    night(output, 1, images(200, 0))
    run = make_run(output, [images(200, 0)], "night-2", day=2)
    rewrite(output / "runs/night-2/data/shard-00000.parquet", abstain)
    with pytest.raises(DataInvalid, match="its share of abstentions is too far from the last run's: PSI"):
        commit(*run, "--max-drift", "0.25")


def test_the_held_out_images_tell_of_a_first_night_that_abstains(output: Path, tmp_path: Path) -> None:
    model = publish(tmp_path / "models", tmp_path / "staged")
    run = make_run(output, [images(6, 221)], **model)
    with pytest.raises(DataInvalid, match="best labels are too far from what the held-out images gave: PSI"):
        commit(*run, "--max-drift", "2")  # which its classes, of which one is missing, do not reach
    held_out = read_summary(output, "night-1")["held_out"]
    assert (held_out["abstained"], held_out["images"]) == (0, 120)
    assert words(held_out)["abstentions"] == "large"
    page = summary_page(output, "night-1")
    for place, images_there in enumerate(held_out["confidence"]["bins"]):
        ends = f"{place / 20:g} to {(place + 1) / 20:g}"
        row = re.search(rf'<th scope="row" class="text">{ends}</th><td>(\S+)%</td><td>(\S+)%</td>', page)
        assert row, ends
        assert float(row[2]) == pytest.approx(100 * images_there / 120, abs=0.05)
    expected = read_summary(output, "night-1")["expected_accuracy"]
    low, high = expected["interval_95"]
    assert low < expected["accuracy"] < high
    assert f"<b>{100 * expected['accuracy']:.1f}%</b> are expected to be right" in page
    assert "these have drifted far from them</b>, so do not rely on it" in page
    bins = sum(count > 0 for count in held_out["confidence"]["bins"])
    assert page.count('<i class="held_out"') == bins > 0


def test_a_last_run_by_another_model_tells_of_the_classes_alone(output: Path, tmp_path: Path) -> None:
    night(output, 1, images(220, 7))
    model = publish(tmp_path / "models", tmp_path / "staged")
    run = make_run(output, [images(6, 221)], "night-2", 2, **model)
    with pytest.raises(DataInvalid, match="too far from what the held-out images gave: PSI"):
        commit(*run, "--max-drift", "0.25")
    assert words(read_summary(output, "night-2")["last"]) == {
        "classes": "none",
        "confidence": None,
        "abstentions": None,
    }
    assert "by another model, which is sure of other things" in summary_page(output, "night-2")


def test_an_older_bundle_does_not_tell_how_sure_its_model_was(output: Path, tmp_path: Path) -> None:
    model = publish(tmp_path / "models", tmp_path / "staged", tells_confidence=False)
    held_out = night(output, 1, images(6, 221), **model)["held_out"]
    assert (held_out["confidence"], held_out["confidence_drift"], held_out["abstained_drift"]) == (None,) * 3
    assert "its bundle does not tell: it is older than that" in summary_page(output, "night-1")
    assert read_summary(output, "night-1")["expected_accuracy"] is None


def test_what_chance_gives_is_no_drift() -> None:
    random = np.random.default_rng(5)
    nights = []
    for _ in range(300):
        (ours, theirs) = (_distribution(np.sort(random.beta(8, 2, n))) for n in (227, 900))
        nights.append(beside(drifts(ours, Reference.of(theirs, same_model=True))).drifts)
    assert sum(night["confidence"].word != "none" for night in nights) <= 9
    assert sum(night["abstentions"].word != "none" for night in nights) <= 9


def test_tenths_that_neither_has_images_in_give_chance_no_room() -> None:
    ours, theirs = (_distribution(np.repeat([0.85, 0.95], counts)) for counts in ([50, 50], [7000, 3000]))
    drift = drifts(ours, Reference.of(theirs, same_model=True))["confidence_drift"]
    assert drift is not None
    assert drift.word == "some"
    assert drift.by_chance < 0.07


def test_a_class_or_a_tenth_that_one_of_them_lacks_counts_with_no_image() -> None:
    seen, before = {"a": 90, "b": 10}, {"a": 50, "c": 50}
    for classes, ours, theirs in (
        ((), [90, 10, 0], [50, 0, 50]),
        (("b", "d"), [90, 10, 0, 0], [50, 0, 50, 0]),
    ):
        drift = drift_between(seen, before, classes)
        assert drift == drift_of(ours, theirs)
    for tenths in (([9, 1], [10, 0]), ([10, 0], [9, 1])):
        here, there = (_distribution(np.repeat([0.15, 0.95], counts)) for counts in tenths)
        scores = drifts(here, Reference.of(there, same_model=True))
        assert scores["confidence_drift"] == drift_of(*tenths)


def drift_of(ours: list[int], theirs: list[int]) -> DriftScore:
    index = psi(np.array(ours), np.array(theirs))
    return score(index, psi_by_chance(sum(ours), sum(theirs), len(ours)))


def test_where_nothing_can_differ_nothing_drifts() -> None:
    assert drift_between({"a": 3}, {"a": 4}) is None
    assert drift_between({"a": 3}, {"a": 4}, ["b"]) is not None
    assert drift_between({}, {"a": 4, "b": 1}) is None
    assert drift_between({"a": 4, "b": 1}, {}) is None
    one, nothing = _distribution(np.array([0.97, 0.93, 0.96])), ClassDistribution()
    alike = drifts(one, Reference.of(one, same_model=True))
    assert alike["confidence_drift"] == DriftScore(psi=0, by_chance=0, word="none")
    for ours, theirs in ((one, nothing), (nothing, one)):
        scores = drifts(ours, Reference.of(theirs, same_model=True))
        assert (scores["drift"], scores["abstained_drift"]) == (None, None)


def test_the_worst_of_the_drifts_is_the_word_for_all() -> None:
    none, some, large = (DriftScore(psi=0.5, by_chance=0.1, word=word) for word in ("none", "some", "large"))
    assert beside({"drift": None, "confidence_drift": some, "abstained_drift": large}).worst == "large"
    assert beside({"drift": some, "confidence_drift": none, "abstained_drift": None}).worst == "some"
    assert beside({"drift": None, "confidence_drift": None, "abstained_drift": None}).worst is None


def beside(scores: Drifts) -> HeldOutSummary:
    return HeldOutSummary(images=1, labels={"red": 1}, **scores)


def _distribution(probabilities: np.ndarray[Any, np.dtype[np.float64]]) -> ClassDistribution:
    rows = {
        "label": ["red", "blue"] * (len(probabilities) // 2) + ["red"] * (len(probabilities) % 2),
        "probability": probabilities,
        "abstained": probabilities < 0.6,
    }
    distribution = ClassDistribution()
    distribution.add(pa.table(rows))
    return distribution
