"""Nights of a multi-label model: what its images have is counted, compared and shown as sets of labels."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fovea.client import Classification, ModelVersion, Prediction, Timing
from fovea.model.classifier import CPU
from fovea.stores.storage import open_folder
from scorer.committing.class_distribution import ClassDistribution
from scorer.committing.comparison import beside_held_out
from scorer.committing.multi_label import set_texts, shown, sureness
from scorer.committing.sample import SampledRow
from scorer.committing.verification import _judge, _Tally
from scorer.planning.class_drift import drifting_labels
from scorer.run import score
from tests import tiny
from tests.scorer.runs import settings_for

LISTS = {"labels": pa.list_(pa.string()), "probabilities": pa.list_(pa.float32())}
LISTS |= {f"top_{name}": kind for name, kind in LISTS.items()}


def rows(*images: dict[str, float] | None, thresholds: float = 0.5) -> pa.Table:
    """Each an image's probabilities, best first; None of one that is not ok."""
    columns: dict[str, list[Any]] = {name: [] for name in LISTS}
    for image in images:
        has = None if image is None else {label: p for label, p in image.items() if p >= thresholds}
        for prefix, some in (("", has), ("top_", image)):
            columns[f"{prefix}labels"].append(None if some is None else [*some])
            columns[f"{prefix}probabilities"].append(None if some is None else [*some.values()])
    return pa.table({name: pa.array(columns[name], kind) for name, kind in LISTS.items()})


def test_sets_of_labels_are_equal_whatever_their_order_and_no_others_are() -> None:
    table = rows(
        {"cat": 0.9, "dog": 0.8},
        {"dog": 0.9, "cat": 0.8},
        {"cat": 0.9},
        {"emu": 0.2},
        None,
        {"cat, dog": 0.7},
        {"none": 0.7},
    )
    texts = set_texts(table).to_pylist()
    assert texts[0] == texts[1]
    assert texts[4] is None
    assert len({*texts}) == 6
    assert [shown(text) for text in texts if text] == [
        *("cat, dog", "cat, dog", "cat", "none", "cat, dog", "none")
    ]


def test_a_row_is_as_sure_as_its_least_sure_decision() -> None:
    table = rows({"cat": 0.9, "dog": 0.75}, {"cat": 0.9, "dog": 0.375}, {"cat": 0.125}, None, {"dog": 0.9})
    assert sureness(table).to_pylist() == [0.75, 0.625, 0.875, None, pytest.approx(0.9)]


def test_labels_are_counted_each_and_images_without_any() -> None:
    distribution = ClassDistribution()
    distribution.add(rows({"cat": 0.9, "dog": 0.8}, {"cat": 0.9}, {"cat": 0.1}, None))
    distribution.add(rows({"dog": 0.55}))
    assert distribution.labels == {"cat": 2, "dog": 2}
    assert (distribution.images, distribution.none, distribution.abstained) == (4, 1, 0)
    assert sum(distribution.confidence().bins) == 4


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A night by a single-label model and two by a multi-label one: their summaries, and their output."""
    place = tmp_path_factory.mktemp("nights")
    photos, output = place / "photos", place / "output"
    photos.mkdir()
    for name in ("red", "yellow", "black", "white"):
        (photos / f"{name}.png").write_bytes(tiny.picture(name))
    tiny.publish_bundle(place / "single", place / "staged-1")
    score(settings_for(photos, place / "single", output, run="night-0"))
    tiny.publish_bundle(place / "multi", place / "staged-2", multi=True)
    score(settings_for(photos, place / "multi", output, run="night-1"))
    (photos / "black.png").write_bytes(tiny.picture("blue"))
    (photos / "yellow.png").write_bytes(tiny.picture("green"))
    score(settings_for(photos, place / "multi", output, run="night-2"))
    runs = {run.name: run for run in (output / "runs").iterdir()}
    return {
        name: {
            "output": str(output),
            "page": (run / "summary.html").read_text(),
            **json.loads((run / "summary.json").read_text()),
        }
        for name, run in runs.items()
    }


def test_single_label_night_says_nothing_of_sets(nights: dict[str, dict[str, Any]]) -> None:
    assert "labelled" not in nights["night-0"]
    assert "label" not in nights["night-0"]["held_out"]["drift"]
    assert "abstained" in nights["night-0"]["page"]


def test_night_of_another_kind_is_not_compared(nights: dict[str, dict[str, Any]]) -> None:
    why = "the last run, night-0, gives an image one label"
    assert (nights["night-1"]["last"], nights["night-1"]["no_last_because"]) == (None, why)


def test_night_counts_each_label_and_compares_its_rate(nights: dict[str, dict[str, Any]]) -> None:
    night = nights["night-1"]
    assert night["labels"] == {"red": 3, "green": 2, "blue": 1}
    assert night["labelled"] == {"images": 4, "none": 1}
    assert (night["abstained"], night["expected_accuracy"]) == (0, None)
    assert night["held_out"]["labels"] == dict.fromkeys(tiny.LABELS, 6)
    assert (night["held_out"]["images"], night["held_out"]["drift"]["label"]) == (12, "blue")


def test_changes_are_of_sets_and_told_by_label_too(nights: dict[str, dict[str, Any]]) -> None:
    changes = nights["night-2"]["last"]["changes"]
    assert changes["labels"]["image_changed"] == changes["labels"]["changed"] == 2
    assert [(each["from"], each["to"], each["images"]) for each in changes["pairs"]] == [
        ("green, red", "green", 1),
        ("none", "blue", 1),
    ]
    assert {(each["key"], each["from"], each["to"]) for each in changes["examples"]} == {
        ("yellow.png", "green, red", "green"),
        ("black.png", "none", "blue"),
    }
    assert changes["by_label"] == [
        {"label": "blue", "gained": 1, "lost": 0},
        {"label": "red", "gained": 0, "lost": 1},
    ]
    assert nights["night-2"]["last"]["labelled"] == {"images": 4, "none": 1}


def test_page_shows_sets_and_shares_of_images_and_no_abstentions(nights: dict[str, dict[str, Any]]) -> None:
    page = nights["night-2"]["page"]
    for text in (
        "Labels that came and went",
        "none of the labels",
        "An image may have several labels",
        "75.0%",
    ):
        assert text in page
    assert "abst" not in page


def test_images_that_have_a_label_more_often_than_at_the_release_make_it_drift(
    nights: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    output = open_folder(nights["night-2"]["output"])
    assert drifting_labels(output) == ()
    summary = json.loads(output.read("runs/night-2/summary.json"))
    summary["labels"], summary["labelled"] = (
        {"red": 900, "green": 500, "blue": 500},
        {"images": 1000, "none": 0},
    )
    summary["held_out"]["labels"], summary["held_out"]["images"] = dict.fromkeys(tiny.LABELS, 500), 1000
    other = open_folder(str(tmp_path))
    other.write("latest.json", output.read("latest.json"))
    other.write("runs/night-2/summary.json", json.dumps(summary).encode())
    assert drifting_labels(other) == ("red",)


def test_held_out_images_of_which_nothing_was_measured_are_compared_with_nothing(tmp_path: Path) -> None:
    contract = tiny.stage_bundle(tmp_path / "multi", multi=True).contract
    distribution = ClassDistribution()
    distribution.add(rows({"red": 0.9}))
    held_out = beside_held_out(distribution, contract.model_copy(update={"label_metrics": None}))
    assert held_out is not None
    assert (held_out.drift, held_out.images) == (None, 0)


@pytest.mark.parametrize(
    ("selected", "green", "mismatches"),
    [
        (("red",), 0.6 - 2e-6, 0),  # the server's is below the threshold by what machines differ
        (("red", "green"), 0.6, 0),
        (("red",), 0.6, 0),
        (("red",), 0.55, 1),
        (("red", "green"), 0.7, 1),
        (("green",), 0.6, 1),
    ],
)
def test_server_that_selects_other_labels_says_something_else(
    selected: tuple[str, ...], green: float, mismatches: int
) -> None:
    probabilities = {"red": 0.9, "green": green, "blue": 0.1}
    predictions = tuple(Prediction(label, 0, p) for label, p in probabilities.items())
    chosen = tuple(each for each in predictions if each.label in selected)
    model, took = ModelVersion("m", 1, "d"), Timing(0, 0, 1, 0)
    answer = Classification(predictions, False, model, took, "", selected=chosen)
    row = SampledRow("a", "1", "red, green", {"red": 0.9, "green": 0.6}, CPU, frozenset({"red", "green"}))
    tally = _Tally("there:1", CPU, "fp32", "", dict(zip(tiny.LABELS, tiny.THRESHOLDS, strict=True)))
    _judge(tally, row, answer)
    assert tally.mismatches == mismatches
    if mismatches:
        assert tally.first.startswith("a: the row says red, green, the server ")
