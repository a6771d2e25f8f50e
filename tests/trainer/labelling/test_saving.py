"""corrections.csv of a page that this program serves."""

from pathlib import Path

import pytest

from fovea.errors import DataInvalid, Unavailable
from tests.trainer.labelling.made import answer
from trainer.labelling.saving import Saved, labelled_in, read_rows

ROWS = [answer(b"one", "red", 0.1), answer(b"two", "blue", 0.03125)]
ONE, TWO = (row.sha256 for row in ROWS)
COLUMNS = "path,label,decision,was,probability,rank\n"


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    return Saved(tmp_path, [], ROWS)


def test_each_change_is_in_the_file_and_what_is_taken_back_is_not(saved: Saved, tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    saved.change({TWO: ""})
    saved.change({ONE: "red"})
    kept, none = f"sha256/{ONE},red,keep,red,0.5500,1\n", f"sha256/{TWO},,leave out,blue,0.5156,2\n"
    assert file.read_text() == COLUMNS + kept + none
    saved.change({ONE: 'te"al, é', TWO: None})
    assert file.read_text() == f'{COLUMNS}sha256/{ONE},"te""al, é",relabel,red,0.5500,1\n'
    assert saved.answers() == {ONE: 'te"al, é'}
    assert [path.name for path in tmp_path.iterdir()] == ["corrections.csv"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({ONE: "red", "f" * 64: "red"}, "is no image of this page"),
        ({ONE: " "}, "is no label"),
        ({ONE: "red", TWO: "\ud800"}, "is no label"),
        ({ONE: "x" * 201}, "is no label"),
    ],
)
def test_change_of_what_is_not_there_changes_nothing(
    saved: Saved, tmp_path: Path, changes: dict[str, str | None], said: str
) -> None:
    with pytest.raises(DataInvalid, match=said):
        saved.change(changes)
    assert saved.answers() == {}
    assert list(tmp_path.iterdir()) == []


def test_labels_of_the_model_are_taken_as_they_are_and_others_as_the_trainer_reads_them(
    tmp_path: Path,
) -> None:
    own = ("e\u0301", "x" * 201)
    saved = Saved(tmp_path, [], ROWS, own)
    for label in own:
        saved.change({ONE: label, TWO: " o\u0301 "})
        assert saved.answers() == {ONE: label, TWO: "ó"}
        assert [row[1] for row in read_rows(tmp_path)] == [label, "ó"]


def test_what_cannot_be_written_is_not_taken_for_saved(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    saved = Saved(tmp_path / "file", [], ROWS)
    with pytest.raises(Unavailable):
        saved.change({ONE: "red"})
    assert saved.answers() == {}


def test_rows_that_are_there_are_read_and_written_again(saved: Saved, tmp_path: Path) -> None:
    assert read_rows(tmp_path) == []
    saved.change({ONE: "red", TWO: ""})
    rows = read_rows(tmp_path)
    assert labelled_in([*rows, ("photos/a.jpg", "cat", "", "", "", "")]) == {ONE, TWO}
    Saved(tmp_path, rows[:1], ROWS).change({TWO: "blue"})
    assert [row[:3] for row in read_rows(tmp_path)] == [
        (f"sha256/{ONE}", "red", "keep"),
        (f"sha256/{TWO}", "blue", "keep"),
    ]


def test_rows_of_two_columns_are_read_and_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    file.write_text("\ufeffpath,label\nsha256/ab,red\n")
    assert read_rows(tmp_path) == [("sha256/ab", "red", "", "", "", "")]
    for text in ("name,age\na,1\n", "", "\udcff"):
        file.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(DataInvalid, match=r"corrections\.csv: "):
            read_rows(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(DataInvalid, match=r"corrections\.csv: a folder"):
        read_rows(tmp_path)


def test_rows_that_others_wrote_since_stay(saved: Saved, tmp_path: Path) -> None:
    other = ("photos/a.jpg", "cat", "relabel", "dog", "", "")
    saved.change({ONE: "red"})
    Saved(tmp_path, [], ROWS).change({TWO: "blue"})
    file = tmp_path / "corrections.csv"
    file.write_text(f"{file.read_text()}{','.join(other)}\n")
    saved.change({ONE: "green"})
    assert {row[0]: row[1] for row in read_rows(tmp_path)} == {
        f"sha256/{TWO}": "blue",
        "photos/a.jpg": "cat",
        f"sha256/{ONE}": "green",
    }
    saved.change({TWO: "red"})
    assert [row[:2] for row in read_rows(tmp_path)][1:] == [
        (f"sha256/{ONE}", "green"),
        (f"sha256/{TWO}", "red"),
    ]
    file.write_text("name,age\na,1\n")
    with pytest.raises(Unavailable, match="move the file away"):
        saved.change({ONE: None})
    assert file.read_text() == "name,age\na,1\n"
