"""What summary.json says of a run, alone and beside the last one."""

import json
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import DataInvalid
from fovea.model.bundle import ModelBundle
from scorer.committing.drift import score
from scorer.files.summary import DriftScore
from tests.scorer.made_runs import Image, commit, make_run, rewrite
from tests.scorer.runs import last_line, scorer


def images(red: int, blue: int, probability: float = 0.9) -> list[Image]:
    labels = ["red"] * red + ["blue"] * blue
    return [Image(f"{n:04}.jpg", label, probability) for n, label in enumerate(labels)]


def night(output: Path, number: int, rows: list[Image], *options: str, **spec: Any) -> dict[str, Any]:
    """A run of one shard, committed; the summary as it was written."""
    run = f"night-{number}"
    commit(*make_run(output, [rows], run, day=number, **spec), *options)
    return read_summary(output, run)


def read_summary(output: Path, run: str) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((output / "runs" / run / "summary.json").read_bytes())
    return summary


def summary_page(output: Path, run: str) -> str:
    return (output / "runs" / run / "summary.html").read_text()


def latest(output: Path) -> str:
    return str(json.loads((output / "latest.json").read_bytes())["run"])


def test_the_counts_add_up(output: Path) -> None:
    rows = [*images(2, 1), Image("bad.jpg", None), Image("unsure.jpg", "red", 0.4)]
    summary = night(output, 1, rows)
    assert (summary["images"], summary["scored"], summary["carried"]) == (5, 5, 0)
    assert summary["statuses"] == {"ok": 4, "undecodable": 1}
    assert summary["labels"] == {"red": 3, "blue": 1}
    assert summary["abstained"] == 1
    assert summary["bad_examples"] == {"undecodable": [{"key": "bad.jpg", "error": "bad.jpg: not an image"}]}


def test_carried_rows_are_told_apart_from_scored_ones_and_times_are_rounded(output: Path) -> None:
    carried = [Image("a.jpg", carried=True), Image("b.jpg"), Image("c.jpg", carried=True), Image("d.jpg")]
    commit(*make_run(output, [carried, [Image("e.jpg")]], elapsed_s=1.23456))
    summary = read_summary(output, "night-1")
    assert (summary["images"], summary["scored"], summary["carried"]) == (5, 3, 2)
    assert (summary["seconds"], summary["images_per_s"]) == (2.469, 1.2)
    assert (summary["bottleneck"], summary["previous"]) == ("fetch", "night-0")


def test_the_bottleneck_comes_with_the_knob_to_turn(output: Path) -> None:
    summary = night(output, 1, images(2, 1))
    assert summary["bottleneck"] == "fetch"
    assert "--fetch-concurrency" in summary["knob"]
    assert summary["stages"]["fetch"] == {"busy_s": 0.5, "utilisation": 0.5}
    assert summary["knob"] in (output / "runs/night-1/summary.html").read_text()


def test_the_confidence_is_a_histogram_with_mean_and_median(output: Path) -> None:
    rows = [Image(f"{n}.jpg", "red", p) for n, p in enumerate([0.02, 0.5, 0.52, 0.97, 1.0])]
    confidence = night(output, 1, rows)["confidence"]
    assert confidence["bins"] == [1, *[0] * 9, 2, *[0] * 8, 2]
    assert confidence["mean"] == pytest.approx(0.602)
    assert confidence["median"] == pytest.approx(0.52, abs=1e-3)


def test_the_last_run_stands_beside_this_one(output: Path) -> None:
    night(output, 1, images(60, 40))
    last = night(output, 2, images(40, 60, 0.8))["last"]
    assert (last["run"], last["images_per_s"], last["abstained"]) == ("night-1", 100, 0)
    assert last["model"] == {"name": "tiny", "version": 1, "digest": "d" * 64}
    assert last["labels"] == {"red": 60, "blue": 40}
    assert last["confidence"]["mean"] == pytest.approx(0.9)
    assert last["changes"]["images"] == {"in_both": 100, "new": 0, "vanished": 0, "image_replaced": 0}
    assert last["changes"]["pairs"] == [{"from": "red", "to": "blue", "images": 20}]
    assert last["drift"] == {"psi": 0.1589, "by_chance": 0.1317, "word": "some"}


def test_new_and_vanished_images_are_counted(output: Path) -> None:
    night(output, 1, images(10, 0))
    summary = night(output, 2, [*images(8, 0), Image("new.jpg"), Image("newer.jpg")])
    assert summary["last"]["changes"]["images"] == {
        "in_both": 8,
        "new": 2,
        "vanished": 2,
        "image_replaced": 0,
    }


def test_another_image_under_a_key_is_told_from_another_answer(output: Path) -> None:
    night(output, 1, [Image("a"), Image("b"), Image("c", etag="1")])
    summary = night(output, 2, [Image("a"), Image("b", "blue"), Image("c", "blue", etag="2")])
    labels = summary["last"]["changes"]["labels"]
    assert (labels["model_changed"], labels["image_changed"]) == (1, 1)
    assert [(row["key"], row["image_replaced"]) for row in summary["last"]["changes"]["examples"]] == [
        ("b", False),
        ("c", True),
    ]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda output: None, "the last run, night-1, is of another source: /nowhere/photos"),
        (lambda output: (output / "runs/night-1/summary.json").unlink(), "night-1, is not there any more"),
        (lambda output: (output / "latest.json").unlink(), "no run was finished before this one"),
    ],
)
def test_where_there_is_nothing_to_compare_it_says_why(spoil: Any, says: str, output: Path) -> None:
    night(output, 1, images(1, 1))
    spoil(output)
    summary = night(output, 2, images(1, 1), source="s3://photos/other")
    assert summary["last"] is None
    assert says in summary["no_last_because"]


def test_a_last_run_whose_rows_were_removed_is_not_compared(output: Path) -> None:
    night(output, 1, images(1, 1))
    (output / "runs/night-1/data/shard-00000.parquet").unlink()
    assert "are not all there any more" in night(output, 2, images(1, 1))["no_last_because"]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("data/shard-00000.parquet", b"damaged", "rows of the last run, night-1, cannot be read: "),
        ("summary.json", b"{", "the last run, night-1, cannot be understood: JSONDecodeError: "),
        ("_manifest.json", b"[]", "the last run, night-1, cannot be understood: TypeError: "),
    ],
)
def test_a_damaged_last_run_does_not_keep_a_good_one_from_its_commit(
    name: str, data: bytes, says: str, output: Path
) -> None:
    night(output, 1, images(1, 1))
    (output / "runs/night-1" / name).write_bytes(data)
    summary = night(output, 2, images(1, 1))
    assert summary["last"] is None
    assert summary["no_last_because"].startswith(says)
    assert latest(output) == "night-2"


def test_what_a_last_run_does_not_tell_of_its_model_and_speed_is_left_out(output: Path) -> None:
    """As another version may have written it."""
    night(output, 1, images(2, 1))
    file = output / "runs/night-1/summary.json"
    file.write_text(json.dumps({"source": "/nowhere/photos", "model": {"name": 1}, "images_per_s": "fast"}))
    last = night(output, 2, images(1, 2))["last"]
    assert (last["run"], last["model"], last["images_per_s"]) == ("night-1", None, None)
    assert (last["drift"]["word"], last["confidence_drift"], last["abstained_drift"]) == ("none", None, None)
    assert "<p>Run night-1. Both runs have 3 images;" in summary_page(output, "night-2")


def test_a_last_run_of_other_columns_is_not_compared(output: Path) -> None:
    night(output, 1, images(1, 1))
    rewrite(output / "runs/night-1/data/shard-00000.parquet", lambda rows: rows.drop_columns(["abstained"]))
    assert "it has no column abstained" in night(output, 2, images(1, 1))["no_last_because"]


def test_the_held_out_images_stand_beside_the_run(
    output: Path, tiny_models: Path, tiny_bundle: ModelBundle
) -> None:
    model = {"models": str(tiny_models), "model_digest": tiny_bundle.digest}
    held_out = night(output, 1, images(900, 100), **model)["held_out"]
    assert held_out["labels"] == {"red": 4, "green": 4, "blue": 4}
    assert held_out["images"] == 12
    assert held_out["drift"]["word"] == "large"


@pytest.mark.parametrize(
    "model", [{}, {"models": "TINY", "model_digest": "0" * 64}], ids=["gone", "replaced"]
)
def test_without_the_planned_bundle_the_held_out_images_are_left_out(
    model: dict[str, str], output: Path, tiny_models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = {key: value.replace("TINY", str(tiny_models)) for key, value in model.items()}
    assert night(output, 1, images(1, 1), **places)["held_out"] is None
    assert "the run is not compared with" in caplog.text


@pytest.mark.parametrize(
    ("psi", "by_chance", "word"),
    [
        *((0.09, 0.01, "none"), (0.1, 0.01, "some"), (0.25, 0.01, "some"), (0.26, 0.01, "large")),
        *((0.2, 0.3, "none"), (0.3, 0.3, "none"), (0.3, 0.29, "large")),
    ],
)
def test_drift_has_a_word(psi: float, by_chance: float, word: str) -> None:
    assert score(psi, by_chance).word == word


def test_drift_has_four_digits() -> None:
    assert score(0.123456, 0.076543) == DriftScore(psi=0.1235, by_chance=0.0765, word="some")


def test_a_drift_above_the_limit_writes_the_run_but_leaves_latest(output: Path) -> None:
    night(output, 1, images(60, 40))
    make_run(output, [images(40, 60)], "night-2", day=2)
    result = scorer("commit", "--output", str(output), "--run-id", "night-2", "--max-drift", "0.1")
    assert result.returncode == 65
    assert last_line(result) == (
        "error: run night-2: its classes are too far from the last run's: PSI 0.1589 (by chance up to "
        "0.1317), more than --max-drift 0.1; the run is written, but latest.json stays: look at "
        f"{output}/runs/night-2/summary.html; to accept it, run again with this --run-id and a higher "
        "--max-drift"
    )
    assert (output / "runs/night-2/_SUCCESS").exists()
    assert latest(output) == "night-1"


def test_the_page_of_a_run_that_is_held_back_says_why_and_what_to_do(output: Path) -> None:
    night(output, 1, images(60, 40))
    second = make_run(output, [images(40, 60)], "night-2", day=2)
    with pytest.raises(DataInvalid):
        commit(*second, "--max-drift", "0.1")
    assert (
        "<b>This run was held back:</b> its classes are too far from the last run&#39;s: PSI 0.1589 (by "
        "chance up to 0.1317), more than --max-drift 0.1; the run is written, but latest.json stays. To "
        "accept it, run again with <code>--run-id night-2</code> and a higher <code>--max-drift</code>."
    ) in summary_page(output, "night-2")


def test_a_run_that_is_held_back_still_is_not_written_again(output: Path) -> None:
    night(output, 1, images(60, 40))
    second = make_run(output, [images(40, 60)], "night-2", day=2)
    finished = []
    for _ in range(2):
        with pytest.raises(DataInvalid):
            commit(*second, "--max-drift", "0.1")
        finished.append(read_summary(output, "night-2")["finished"])
    assert finished[0] == finished[1]


def test_a_run_that_was_held_back_is_accepted_with_a_higher_limit(output: Path) -> None:
    night(output, 1, images(60, 40))
    second = make_run(output, [images(40, 60)], "night-2", day=2)
    for _ in range(2):
        with pytest.raises(DataInvalid, match=r"--max-drift 0\.1;"):
            commit(*second, "--max-drift", "0.1")
    assert "This run was held back:" in summary_page(output, "night-2")
    accepted = commit(*second, "--max-drift", "0.2")
    assert accepted
    assert json.loads(accepted.as_json()) == read_summary(output, "night-2")
    assert latest(output) == "night-2"
    assert "This run was held back:" not in summary_page(output, "night-2")
    assert commit(*second, "--max-drift", "0.1") is None


def test_without_a_last_run_the_held_out_images_limit_the_drift(
    output: Path, tiny_models: Path, tiny_bundle: ModelBundle
) -> None:
    second = make_run(output, [images(900, 100)], models=str(tiny_models), model_digest=tiny_bundle.digest)
    with pytest.raises(DataInvalid, match="too far from what the held-out images gave: PSI"):
        commit(*second, "--max-drift", "0.25")
    assert not (output / "latest.json").exists()


def test_a_difference_that_chance_gives_to_few_images_holds_nothing_back(output: Path) -> None:
    night(output, 1, images(2, 3))
    drift = night(output, 2, images(3, 2), "--max-drift", "0.01")["last"]["drift"]
    assert 0.01 < drift["psi"] < drift["by_chance"]
    assert latest(output) == "night-2"


def test_a_first_run_without_a_bundle_has_no_drift(output: Path) -> None:
    assert night(output, 1, images(1, 1), "--max-drift", "0")["held_out"] is None
    assert latest(output) == "night-1"
