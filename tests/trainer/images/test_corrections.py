"""Corrections of labels, as `--data` takes them after the images."""

import unicodedata
from pathlib import Path

import pytest

from fovea.errors import DataInvalid, ObjectMissing
from tests.buckets import Bucket
from tests.tiny import picture
from trainer.images.corrections import CorrectionsRecord
from trainer.images.sources import Split, list_every_image, open_heldout, open_source


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images a class: the names tell what they are, the folders what they are called."""
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for index in range(5):
            (tmp_path / "photos" / label / f"{index}.png").write_bytes(picture("red", (20 + index, 20)))
    return tmp_path / "photos"


def written(folder: Path, *rows: str, header: str = "path,label,decision", name: str = "c.csv") -> str:
    (folder / name).write_text("\n".join([header, *rows]), encoding="utf-8")
    return str(folder / name)


def opened(data: Path | str, *corrections: str) -> Split:
    return open_source(str(data), corrections, val_fraction=0.4, seed=0, cache_dir=Path("nowhere"))


def labels_of(split: Split) -> dict[str, str]:
    return {str(sample): sample.label for sample in (*split.train, *split.heldout)}


def test_label_is_corrected_and_an_image_left_out(photos: Path) -> None:
    rows = ("cat/0.png,dog,relabel", "cat/1.png,cat,leave out", "dog/2.png,dog,keep", "dog/3.png,,leave out")
    split = opened(photos, written(photos.parent, *rows))
    labels = labels_of(split)
    assert labels["cat/0.png"] == "dog"
    assert labels["dog/2.png"] == "dog"
    assert {"cat/1.png", "dog/3.png"}.isdisjoint(labels)
    assert len(labels) == 8
    assert split.corrections == CorrectionsRecord(files=(str(photos.parent / "c.csv"),), labels=1, left_out=2)


def test_what_is_held_out_stays_so(photos: Path) -> None:
    before = opened(photos)
    first = str(before.heldout[0])
    after = opened(photos, written(photos.parent, f"{first},dog,relabel"))
    assert [str(sample) for sample in after.heldout] == [str(sample) for sample in before.heldout]
    assert [str(sample) for sample in after.train] == [str(sample) for sample in before.train]
    assert after.heldout[0].label == "dog"


def test_later_row_and_later_file_win(photos: Path) -> None:
    first = written(
        photos.parent, "cat/0.png,dog,leave out", "cat/1.png,dog,", "cat/1.png,cat,", name="1.csv"
    )
    second = written(photos.parent, "cat/0.png,dog", header="path,label", name="2.csv")
    labels = labels_of(opened(photos, first, second))
    assert (labels["cat/0.png"], labels["cat/1.png"]) == ("dog", "cat")


def test_table_is_corrected_by_the_paths_that_it_has(photos: Path) -> None:
    rows = [f"photos/{label}/{index}.png,{label}" for label in ("cat", "dog") for index in range(5)]
    table = written(photos.parent, *rows, header="path,label", name="photos.csv")
    labels = labels_of(opened(table, written(photos.parent, "photos/cat/4.png,dog")))
    assert list(labels.values()).count("dog") == 6


def test_names_are_the_same_however_they_were_typed(photos: Path) -> None:
    (photos / "cat" / "0.png").rename(photos / "cat" / unicodedata.normalize("NFD", "é.png"))
    labels = labels_of(opened(photos, written(photos.parent, "./cat/é.png , dog ")))
    assert labels[unicodedata.normalize("NFD", "cat/é.png")] == "dog"


def test_table_that_a_spreadsheet_saved_is_read(photos: Path) -> None:
    (photos.parent / "c.csv").write_bytes(
        b'\xef\xbb\xbfpath,label,decision,note\r\n"cat/0.png",dog,,"a, b"\r\n'
    )
    assert labels_of(opened(photos, str(photos.parent / "c.csv")))["cat/0.png"] == "dog"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            ["cat/9.png,dog,"],
            r"c.csv: line 2: there is no image 'cat/9.png' in .*photos; .* as 'cat/0.png' is",
        ),
        (["cat/0.png,dgo,"], r"c.csv: line 2: no image of .*photos has the label 'dgo'; 'dog' may be meant"),
        (["cat/0.png,,"], r"c.csv: line 2: 'cat/0.png' has no label; .* decision should be 'leave out'"),
        (["cat/0.png,dog,drop"], r"line 2: a decision is keep, relabel or leave out, not 'drop'"),
        (["cat/0.png"], r"line 2: 'cat/0.png' has no label"),
    ],
)
def test_wrong_row_is_named(rows: list[str], said: str, photos: Path) -> None:
    with pytest.raises(DataInvalid, match=said) as refused:
        opened(photos, written(photos.parent, *rows))
    assert "\n" not in str(refused.value)


def test_what_is_no_table_of_corrections_is_named(photos: Path) -> None:
    with pytest.raises(DataInvalid, match=r"first line should be `path,label`.*, not `file,class`"):
        opened(photos, written(photos.parent, header="file,class"))
    (photos.parent / "c.csv").write_bytes(b"path,label\n\xff,cat\n")
    with pytest.raises(DataInvalid, match=r"c\.csv: not a CSV file in UTF-8"):
        opened(photos, str(photos.parent / "c.csv"))
    with pytest.raises(ObjectMissing):
        opened(photos, str(photos.parent / "none.csv"))


def test_corrections_that_leave_one_class_are_refused(photos: Path) -> None:
    rows = [f"cat/{index}.png,dog," for index in range(5)]
    with pytest.raises(DataInvalid, match="there is one class only, 'dog'"):
        opened(photos, written(photos.parent, *rows))


def test_two_images_that_are_called_alike_cannot_be_corrected(photos: Path) -> None:
    for name in (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")):
        (photos / "cat" / name).write_bytes(picture("red"))
    with pytest.raises(DataInvalid, match=r"there are 2 images 'cat/é\.png'"):
        opened(photos, written(photos.parent, "cat/é.png,dog,"))


def test_evaluation_is_on_the_right_labels(photos: Path) -> None:
    corrections = written(photos.parent, "cat/0.png,bird,", "cat/1.png,,leave out")
    held = open_heldout(str(photos), Path("nowhere"), ("bird", "cat", "dog"), (corrections,))
    labels = {str(sample): sample.label for sample in held.samples}
    assert (labels["cat/0.png"], len(labels)) == ("bird", 9)
    assert held.corrections == CorrectionsRecord(files=(corrections,), labels=1, left_out=1)


def test_labels_are_looked_for_in_all_parts_and_those_that_were_kept_are_known(photos: Path) -> None:
    for part in ("train", "test"):
        (photos.parent / "parts" / part).mkdir(parents=True)
        for label in ("cat", "dog"):
            (photos.parent / "parts" / part / label).symlink_to(photos / label)
    corrections = written(photos.parent, "test/cat/0.png,cat,keep", "train/cat/1.png,dog,")
    split = list_every_image(str(photos.parent / "parts"), (corrections,), Path("nowhere"))
    assert (len(split.train), len(split.heldout)) == (20, 0)
    assert split.kept == {"test/cat/0.png"}


def test_corrections_of_a_bucket_s_images_lie_in_a_bucket(
    bucket: Bucket, photos: Path, tmp_path: Path
) -> None:
    bucket.put_folder("photos", photos)
    bucket.put("reviewed/c.csv", b"path,label\ncat/0.png,dog\n")
    split = open_source(
        f"{bucket.uri}/photos",
        (f"{bucket.uri}/reviewed/c.csv",),
        val_fraction=0.4,
        seed=0,
        cache_dir=tmp_path,
    )
    assert labels_of(split)["cat/0.png"] == "dog"
