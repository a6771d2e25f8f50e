"""What is not accepted, or held back: a night that finds nothing, too much that is bad, too far a drift."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import DataInvalid
from scorer.committing.refusals import TOO_FAR, empty_run, too_far, too_many_bad
from scorer.committing.totals import Totals
from scorer.files.summary import DRIFTS, DriftScore, HeldOutSummary, LastRunSummary, RunSummary
from tests.scorer.made_runs import Image, commit, make_run


def latest(output: Path) -> str:
    return str(json.loads((output / "latest.json").read_text())["run"])


@pytest.mark.parametrize("source", ["s3://bucket/images", "s3://bucket/imagez"])
def test_a_run_without_images_does_not_take_the_place_of_one_with_some(output: Path, source: str) -> None:
    commit(*make_run(output, [[Image("a.jpg")]], "night-1", day=1, source="s3://bucket/images"))
    empty = make_run(output, [[]], "night-2", day=2, source=source)
    with pytest.raises(DataInvalid, match="run night-2: it has no image, and the last run, night-1, has 1"):
        commit(*empty)
    assert latest(output) == "night-1"
    assert not (output / "runs/night-2/_SUCCESS").exists()
    assert "This run was not accepted" in (output / "runs/night-2/summary.html").read_text()

    commit(*empty, "--max-bad-fraction", "1")
    assert latest(output) == "night-2"


def test_accepting_a_night_after_a_later_one_says_that_latest_json_stays(
    output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commit(*make_run(output, [[Image("a.jpg")]], "night-1", day=1))
    empty = make_run(output, [[]], "night-2", day=2)
    with pytest.raises(DataInvalid):
        commit(*empty)
    commit(*make_run(output, [[Image("a.jpg")]], "night-3", day=3))
    commit(*empty, "--max-bad-fraction", "1")
    assert latest(output) == "night-3"
    assert caplog.messages[-1].startswith("latest.json stays: it names night-3, which was planned later")


def test_an_empty_run_is_judged_by_what_the_last_one_says_of_itself(output: Path) -> None:
    commit(*make_run(output, [[Image("a.jpg"), Image("b.jpg")]], "night-1", day=1))
    summary = output / "runs/night-1/summary.json"
    folder, plan = make_run(output, [[]], "night-2", day=2)
    assert str(empty_run(folder, plan)).startswith(
        "it has no image, and the last run, night-1, has 2: latest"
    )
    for images, is_refused in (("1", True), ("0", False)):
        summary.write_text(f'{{"images": {images}}}')
        assert (empty_run(folder, plan) is not None) == is_refused, images
    for damaged in ("{", "[]", '{"rows": 1}', '{"images": null}', '{"images": "many"}'):
        summary.write_text(damaged)
        with pytest.raises(DataInvalid, match=r"runs/night-1/summary\.json: not a run's summary: "):
            empty_run(folder, plan)
    summary.unlink()
    assert empty_run(folder, plan) is None
    (output / "latest.json").unlink()
    assert empty_run(folder, plan) is None


def test_a_run_with_images_follows_one_without_a_summary(output: Path) -> None:
    commit(*make_run(output, [[Image("a.jpg")]], "night-1", day=1))
    (output / "runs/night-1/summary.json").write_text("{")
    commit(*make_run(output, [[Image("a.jpg")]], "night-2", day=2))
    assert latest(output) == "night-2"


def test_as_many_may_be_bad_as_was_allowed_and_no_more() -> None:
    totals = Totals(images=8, statuses=Counter(ok=5, gone=1, undecodable=2))
    assert too_many_bad(totals, 0.375) is None
    assert str(too_many_bad(totals, 0.3749)).startswith(
        "3 of 8 images are not ok (2 undecodable, 1 gone), more than --max-bad-fraction 0.3749; its"
    )
    assert too_many_bad(totals, 0) is not None
    assert too_many_bad(Totals(images=8, statuses=Counter(ok=8)), 0) is None
    assert too_many_bad(Totals(), 0) is None


def compared(**others: Any) -> RunSummary:
    """A run's summary of which only that is known."""
    return RunSummary.model_construct(**others)


def test_as_much_may_drift_as_was_allowed_or_chance_gives() -> None:
    for psi, by_chance, limit, is_too_far in (
        *((0.3, 0.1, 0.3, False), (0.3, 0.1, 0.29, True), (0.3, 0.1, None, False)),
        *((0.3, 0.3, 0.1, False), (0.3, 0.29, 0.1, True), (0.3, 0.31, 0.1, False)),
    ):
        drift = DriftScore(psi=psi, by_chance=by_chance, word="some")
        calm = DriftScore(psi=0.01, by_chance=0.1, word="none")
        for name, what in TOO_FAR.items():
            field = next(field for field, title in DRIFTS.items() if title == name)
            others: dict[str, Any] = {**dict.fromkeys(DRIFTS, calm), field: drift}
            held_out = HeldOutSummary(images=1, labels={}, **others)
            refusal = too_far(compared(last=None, held_out=held_out), limit)
            assert (refusal is not None) == is_too_far, (psi, by_chance, limit, name)
            if refusal:
                text = f"{what} too far from what the held-out images gave: PSI 0.3 (by chance up to "
                assert refusal.startswith(
                    f"{text}{by_chance:g}), more than --max-drift {limit:g}; the run is"
                )


def test_the_held_out_images_are_asked_of_what_the_last_run_does_not_tell() -> None:
    far, near = (DriftScore(psi=psi, by_chance=0.01, word="large") for psi in (0.9, 0.2))
    of_last: dict[str, Any] = {"drift": near, "confidence_drift": None, "abstained_drift": None}
    last = LastRunSummary.model_construct(**of_last)
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({"drift": far, "confidence_drift": near, "abstained_drift": near}, None),
        ({"drift": near, "confidence_drift": far}, "the probabilities of its best labels are too far from"),
        ({"drift": near, "abstained_drift": far}, "its share of abstentions is too far from"),
    ]
    for drifts, said in cases:
        held_out = HeldOutSummary(images=1, labels={}, **drifts)
        refusal = too_far(compared(last=last, held_out=held_out), 0.25)
        assert (refusal is None) if said is None else str(refusal).startswith(said)
    assert too_far(compared(last=last, held_out=None), 0.25) is None
    text = "its classes are too far from the last run's: PSI 0.2"
    assert str(too_far(compared(last=last, held_out=None), 0.1)).startswith(text)


def test_an_empty_run_may_follow_an_empty_one(output: Path) -> None:
    for day in (1, 2):
        commit(*make_run(output, [[]], f"night-{day}", day=day))
    assert latest(output) == "night-2"
