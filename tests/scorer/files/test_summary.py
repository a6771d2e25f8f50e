"""summary.json as earlier versions wrote it: it is read, and written the same, byte for byte."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import DataInvalid
from fovea.stores.storage import open_folder
from scorer.files.summary import RunSummary, read_summary
from tests.scorer.made_runs import Image, commit, make_run

RECORDED = Path(__file__).parent / "recorded"

LATER = {
    (): ("left_out_kinds", "held_back", "unknown", "expected_accuracy"),
    ("last",): ("model", "images_per_s", "confidence_drift", "abstained_drift"),
    ("held_out",): ("abstained", "confidence", "confidence_drift", "abstained_drift"),
    ("verification",): ("unreadable",),
}
"""Where -> what versions before did not write there."""


def read(output: Path, text: str) -> RunSummary:
    (output / "runs/night-2").mkdir(parents=True, exist_ok=True)
    (output / "runs/night-2/summary.json").write_text(text)
    return read_summary(open_folder(str(output)), "night-2")


@pytest.mark.parametrize("name", ["changed", "refused", "verified"])
def test_a_summary_that_is_read_is_written_the_same(name: str, output: Path) -> None:
    recorded = (RECORDED / f"{name}.json").read_text()
    assert read(output, recorded).as_json().decode() == recorded


def test_two_nights_are_summed_up_as_they_were(output: Path) -> None:
    labels, changed = ("red", "blue", "<b>gr\u00fcn"), ("blue", "red", "x" * 99)
    first = [Image(f"{n:04}.jpg", labels[n % 3], (0.9, 0.4, 0.7)[n % 3]) for n in range(40)]
    second = [
        Image(
            f"{n:04}.jpg",
            None if n % 11 == 0 else changed[n % 3],
            0.2 + (n % 7) / 10,
            etag=str(n % 2),
            carried=n % 3 == 0,
        )
        for n in range(60)
    ]
    commit(*make_run(output, [first], "night-1", day=1))
    commit(*make_run(output, [second[:20], second[20:]], "night-2", day=2), "--max-bad-fraction", "1")
    written, recorded = (
        re.sub('"finished": ".*"', "", path.read_text())
        for path in (output / "runs/night-2/summary.json", RECORDED / "changed.json")
    )
    assert written == recorded


def test_what_earlier_versions_did_not_write_is_not_asked_for(output: Path) -> None:
    recorded = json.loads((RECORDED / "verified.json").read_bytes())
    for path, names in LATER.items():
        for name in names:
            del at(recorded, path)[name]
    summary = read(output, json.dumps(recorded))
    assert summary.left_out_kinds == {}
    assert summary.held_back is None
    assert summary.last
    assert summary.last.drifts.keys() == {"classes"}
    assert summary.verification
    assert summary.verification.unreadable == 0


def test_what_later_versions_write_besides_is_passed_over(output: Path) -> None:
    recorded = json.loads((RECORDED / "verified.json").read_bytes())
    known = read(output, json.dumps(recorded))
    inside = [("model",), ("last", "changes"), ("last", "drift"), ("confidence",), ("stages", "fetch")]
    for path in [*LATER, *inside, ("left_out_kinds", ".mov")]:
        at(recorded, path)["a_later_name"] = {"count": 1}
    assert read(output, json.dumps(recorded)) == known


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not a run's summary: Expecting property name"),
        ("[]", "not a run's summary: the file: Input should be"),
        ("{}", r"not a run's summary: run: Field required$"),
    ],
)
def test_what_is_no_summary_is_named_with_what_is_wrong(text: str, problem: str, output: Path) -> None:
    with pytest.raises(DataInvalid, match=rf"runs/night-2/summary\.json: {problem}"):
        read(output, text)


def at(recorded: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path:
        recorded = recorded[name]
    return recorded
