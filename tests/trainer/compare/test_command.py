"""`compare`: two released models over the same images."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from fovea.errors import BundleInvalid, DataInvalid, SettingsInvalid
from tests.captures import captured, put, row
from tests.rooms import ROOT
from tests.tiny import LABELS, picture
from tests.trainer.compare.made import SWAPPED, publish, settings, write_images
from trainer.compare import command
from trainer.compare.record import ComparisonRecord
from trainer.config import CompareSettings

SCHEMA = ROOT / "docs" / "compare.schema.json"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """1 and 3 are right about every colour; 2 takes green and blue for each other; 4 has another class."""
    write_images(tmp_path / "images")
    publish(tmp_path / "tiny", tmp_path / "staged", LABELS, SWAPPED, LABELS, ("red", "green", "teal"))
    return tmp_path / "tiny"


@pytest.fixture(autouse=True)
def _speed_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.evaluate.latency.PATIENCE_S", 0.0)


def compared(asked: CompareSettings) -> dict[str, Any]:
    try:
        command.compare(asked)
    finally:
        record: dict[str, Any] = json.loads(((asked.output or Path()) / "compare.json").read_text())
    return record


def test_better_model_is_told_with_what_it_fixed(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = compared(settings(tmp_path, models / "3", models / "2"))
    assert (record["new"]["model"]["version"], record["old"]["model"]["version"]) == (3, 2)
    assert record["worse"] == []
    paired = record["paired"]
    assert (paired["images"], paired["fixed"], paired["broken"]) == (30, 20, 0)
    assert paired["interval"][0] > 0
    assert paired["mcnemar_p"] == pytest.approx(2 / 2**20)
    assert {change["kind"] for change in record["changed"]} == {"fixed"}
    assert len(record["changed"]) == 20
    said = capsys.readouterr().out
    assert "tiny version 3 against tiny version 2, fp32: accuracy 33.33% to 100.00% of 30 images" in said
    assert "20 of 30 answers changed: 20 fixed, 0 broken, 0 wrong before and after" in said
    assert said.endswith(f"{tmp_path / 'out' / 'compare.html'}\n")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert page.count("data:image/webp") == 20
    assert "Better." in page


def test_worse_model_is_refused_with_the_numbers_when_all_is_written(models: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataInvalid,
        match=r"tiny/2 is worse than .*tiny/3: its accuracy is worse: 100.00% to 33.33% of 30 images, by "
        r"-66.67 points \(95 % confidence interval -8\d.\d\d to -4\d.\d\d\); 0 fixed, 20 broken; its recall "
        r"of 'blue' is worse",
    ):
        command.compare(settings(tmp_path, models / "2", models / "3", guard_class=("blue", "red")))
    record = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [row["label"] for row in record["classes"]] == ["blue", "green", "red"]
    assert [row["guarded"] for row in record["classes"]] == [True, False, True]
    assert [row["paired"]["difference"] for row in record["classes"]] == [-1, -1, 0]
    assert "Worse." in (tmp_path / "out" / "compare.html").read_text()


def test_models_alike_change_nothing(models: Path, tmp_path: Path) -> None:
    record = compared(settings(tmp_path, models / "3", models / "1"))
    assert (record["changed"], record["paired"]["mcnemar_p"], record["worse"]) == ([], 1.0, [])
    assert "Both models answer every image alike." in (tmp_path / "out" / "compare.html").read_text()


def test_images_of_classes_that_one_lacks_are_not_compared(models: Path, tmp_path: Path) -> None:
    record = compared(settings(tmp_path, models / "4", models / "1"))
    assert (record["only_new"], record["only_old"]) == (["teal"], ["blue"])
    assert record["images_of_other_classes"] == {"blue": 10}
    assert record["paired"]["images"] == 20
    with pytest.raises(DataInvalid, match="it lacks the guarded class 'blue'"):
        command.compare(settings(tmp_path, models / "4", models / "1", guard_class=("blue",)))
    with pytest.raises(SettingsInvalid, match="--guard-class: neither model has a class 'owl'"):
        command.compare(settings(tmp_path, models / "4", models / "1", guard_class=("owl",)))


def test_unreadable_image_counts_for_neither(models: Path, tmp_path: Path) -> None:
    (tmp_path / "images" / "red" / "broken.png").write_bytes(picture("red")[:60])
    record = compared(settings(tmp_path, models / "3", models / "1", max_bad_fraction=0.1))
    assert record["paired"]["images"] == 30
    assert [Path(file["path"]).name for file in record["unreadable"]] == ["broken.png"]
    with pytest.raises(DataInvalid, match="1 of 31 images cannot be used"):
        command.compare(settings(tmp_path, models / "3", models / "1", max_bad_fraction=0.0))


def test_a_guarded_class_without_an_image_is_not_vouched_for(models: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "images" / "blue")
    with pytest.raises(DataInvalid, match="there is no image of the guarded class 'blue' to tell by"):
        command.compare(settings(tmp_path, models / "3", models / "1", guard_class=("blue",)))


def test_only_so_many_of_a_kind_are_on_the_page(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.compare.page.MOST_SHOWN", 3)
    record = compared(settings(tmp_path, models / "3", models / "2"))
    page = (tmp_path / "out" / "compare.html").read_text()
    assert (len(record["changed"]), page.count("data:image/webp")) == (20, 3)
    assert "Of each kind, the 3 that the new model is surest of are shown; compare.json" in page


def test_captures_without_a_label_tell_where_the_models_disagree_and_count_for_neither(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [captured(picture(colour, (90 + n, 40))) for colour in LABELS for n in range(2)]
    in_photos = captured((tmp_path / "images" / "red" / "0.png").read_bytes())
    put(tmp_path / "captures", [*answers, in_photos, captured(b"no image")])
    csv = tmp_path / "c.csv"
    csv.write_text(f"path,label\n{row(picture('green', (90, 40)), 'green')}\n")
    data = (str(tmp_path / "images"), str(tmp_path / "captures"), str(csv))
    record = compared(settings(tmp_path, models / "3", models / "2", data=data))
    assert (record["paired"]["images"], record["paired"]["fixed"]) == (31, 21)
    without = record["unlabelled"]
    assert (without["images"], without["agreed"], without["unreadable"]) == (5, 2, 1)
    green, blue, red = without["classes"]
    assert (blue["label"], blue["images"], blue["agreed"], blue["others"]) == ("blue", 1, 0, {"green": 1})
    assert (green["label"], green["images"], green["agreed"], green["others"]) == ("green", 2, 0, {"blue": 2})
    assert (red["label"], red["agreed"], red["others"]) == ("red", 2, {})
    assert {change["path"][:7] for change in without["changed"]} == {"sha256/"}
    assert (
        "of 5 captured images without a label, 2 (40.00%) are answered alike; most often green to blue 2, "
        "blue to green 1"
    ) in capsys.readouterr().out
    page = (tmp_path / "out" / "compare.html").read_text()
    assert page.count("data:image/webp") == 21 + 3
    assert "5 captured images without a label" in page
    of = page.partition("Two models over the same images · ")[2].partition("</p>")[0]
    assert str(tmp_path)[:20] in of
    assert "[" not in of, "names, and no list of Python's"
    validate(record, json.loads(SCHEMA.read_text()))


def test_no_model_is_refused(models: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid):
        command.compare(settings(tmp_path, models / "9", models / "1"))


def test_json_is_as_its_schema_says(models: Path, tmp_path: Path) -> None:
    schema = json.loads(SCHEMA.read_text())
    assert schema == ComparisonRecord.model_json_schema(mode="serialization"), "make options"
    validate(compared(settings(tmp_path, models / "3", models / "2")), schema)
