"""Several labels an image: how a table tells them, how the images are split, what is said of the data."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.errors import DataInvalid
from fovea.images.spec import PreprocessSpec
from tests.trainer.images.test_near_duplicates import CHANGES, encoded, scene
from trainer.images.data import DataSet, read_images
from trainer.images.grouping import Grouping
from trainer.images.label_split import divide_by_labels
from trainer.images.labelling import Labelling
from trainer.images.listing import Sample
from trainer.images.sources import Split, open_source
from trainer.images.table import read_csv

MULTI = Labelling("multi")
SPEC = PreprocessSpec(size=16, resize=16)


def write_table(folder: Path, lines: Sequence[str], *, pictures: bool = False) -> Path:
    """A CSV of these lines; each file that it names after the first line has a picture of its own."""
    table = folder / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    for number, line in enumerate(lines[1:] if pictures else ()):
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(noise).save(folder / line.split(",")[0])
    return table


def opened(table: Path, labelling: Labelling = MULTI, **options: object) -> Split:
    how: dict[str, object] = {"val_fraction": 0.25, "seed": 0, "cache_dir": table.parent / "cache", **options}
    return open_source(str(table), labelling=labelling, **how)  # type: ignore[arg-type]


def refusal(table: Path, labelling: Labelling = MULTI) -> str:
    with pytest.raises(DataInvalid) as caught:
        opened(table, labelling)
    return str(caught.value)


def labels_of(split: Split) -> dict[str, tuple[str, ...] | None]:
    return {sample.name: sample.labels for sample in (*split.train, *split.heldout, *split.test)}


def test_labels_stand_between_separators_and_no_label_is_meant(tmp_path: Path) -> None:
    table = write_table(tmp_path, ["path,labels,split", "a,dog; cat;dog,train", "b,,train", "c,cat,val"])
    split = opened(table)
    assert labels_of(split) == {"a": ("cat", "dog"), "b": (), "c": ("cat",)}
    assert split.labels == ("cat", "dog")
    assert [sample.name for sample in split.heldout] == ["c"]


def test_another_separator_leaves_semicolons_in_labels(tmp_path: Path) -> None:
    table = write_table(tmp_path, ["path,labels,split", "a,x;y|z,train", "c,z,val"])
    assert labels_of(opened(table, Labelling("multi", "|"))) == {"a": ("x;y", "z"), "c": ("z",)}


def test_rows_of_one_image_are_one_set_of_labels(tmp_path: Path) -> None:
    rows = ["a,x,train", "b,x,val", "./a,y,train", "c,,train", "a,x;z,train"]
    split = opened(write_table(tmp_path, ["path,labels,split", *rows]))
    assert labels_of(split) == {"a": ("x", "y", "z"), "b": ("x",), "c": ()}
    assert [(sample.name, sample.label) for sample in split.train] == [("a", "x;y;z"), ("c", "no label")]


def test_cells_that_a_spreadsheet_leaves_blank_are_none_too_many(tmp_path: Path) -> None:
    table = write_table(tmp_path, ["path,labels,split,note", "a,x;y,train,1,, ", "b,x,val,two"])
    assert labels_of(opened(table)) == {"a": ("x", "y"), "b": ("x",)}


@pytest.mark.parametrize(
    ("lines", "labelling", "warning"),
    [
        (["path,labels", "a,x|y", "b,x"], MULTI, "one has 'x|y': --label-separator '|'"),
        (["path,labels", 'a,"x,y"', "b,x"], MULTI, "--label-separator ','"),
        (["path,labels", "a,x;y", "b,x/z"], MULTI, None),
        (
            ["path,label", "a,x;y", "b,x"],
            Labelling(),
            "classes that look like several labels: 1; the first is",
        ),
        (["path,label,labels", "a,x,1", "b,y,1"], Labelling(), "`label` is read and `labels` is not"),
        (["path,label", 'a,"x, y"', "b,x"], Labelling(), None),
    ],
)
def test_labels_that_look_like_several_are_warned_of(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    lines: list[str],
    labelling: Labelling,
    warning: str | None,
) -> None:
    read_csv(write_table(tmp_path, lines), None, labelling)
    assert (warning or "") in caplog.text
    assert bool(caplog.records) is (warning is not None)


def test_columns_of_0_and_1_are_labels(tmp_path: Path) -> None:
    table = write_table(
        tmp_path, ["path,split,cat,dog,owner", "a,train,1,0,7", "b,train,0,true,8", "c,val,1.0,1,9"]
    )
    split = opened(table, Labelling("multi", columns=("cat", "dog")))
    assert labels_of(split) == {"a": ("cat",), "b": ("dog",), "c": ("cat", "dog")}
    assert "line 2: the column 'owner' should be 0 or 1, not '7'" in refusal(table)


def test_all_columns_but_path_split_and_group_are_labels_where_none_is_named(tmp_path: Path) -> None:
    table = write_table(tmp_path, ["path,split,who,cat,dog", "a,train,m,1,0", "b,train,n,0,1", "c,val,o,1,1"])
    assert opened(table, grouping=Grouping("who")).labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("lines", "labelling", "complaint"),
    [
        (["path,labels", "a,x"], Labelling(), "give --task multi|with --task multi"),
        (["path,label", "a,x"], MULTI, "one label an image: --task single"),
        (["path,cat", "a,1"], Labelling("multi", columns=("dog",)), "--label-columns dog: .* no such column"),
        (["path,cat,dog", "a,1,0"], MULTI, "no image has the label 'dog'"),
        (["path,labels", "a,"], MULTI, "no image has a label"),
        (["file,labels", "a,x"], MULTI, "its first line should be `path,labels`"),
        (["path,labels,split", "a,x,train", "b,y,val"], MULTI, "'y' is held out but has no image"),
        (["path,labels", "a,x", "b,x,y"], MULTI, "line 3: it has more cells"),
        (["path,labels", "a,x", "b"], MULTI, "line 3: it has fewer cells"),
        (["path,x,y", "a,1,0", "b,0"], MULTI, "line 3: it has fewer cells"),
        (["path,x,", "a,1,0"], MULTI, "a column without a name"),
        (["path,x,x ", "a,1,0"], MULTI, "the label 'x' is told by two columns"),
        (["path,x,y", "a,1,0"], Labelling("multi", columns=("x", "x")), "the label 'x' is told by two"),
        (["path,labels,y", "a,x,1", "b,x,0"], MULTI, "column 'y' is of 0 and 1 beside the column `labels`"),
        (["path,x", "a,1", "b,1", "a,0"], MULTI, "a has 2 rows"),
        (["path,labels,split", "a,x,train", "a,y,val"], MULTI, "the rows of a are in two parts"),
    ],
)
def test_a_table_that_does_not_tell_labels_is_refused_with_what_to_do(
    tmp_path: Path, lines: list[str], labelling: Labelling, complaint: str
) -> None:
    with pytest.raises(DataInvalid, match=complaint):
        opened(write_table(tmp_path, lines), labelling)


def test_a_folder_has_one_label_an_image(tmp_path: Path) -> None:
    assert "told by a CSV file path,labels" in refusal(tmp_path)


def samples(count: int = 400) -> list[Sample]:
    """A label of half of the images, one of a tenth, one of three of them, and a fifth without any."""
    drawn = np.random.default_rng(0).random((count, 2)) < (0.5, 0.1)
    rows = [tuple(np.array(["half", "tenth"])[row].tolist()) for row in drawn]
    rows[:3] = [("rare",)] * 3
    return [Sample(Path(str(n)), ";".join(labels), str(n), None, labels) for n, labels in enumerate(rows)]


def test_each_label_is_split_by_the_fractions_and_by_the_seed_alone() -> None:
    every = samples()
    train, held, test = divide_by_labels(every, 0.2, 0.1, seed=3)
    assert sorted(int(s.name) for s in (*train, *held, *test)) == list(range(400))
    assert (abs(len(held) - 80), abs(len(test) - 40)) <= (2, 2)
    totals = Counter(label for s in every for label in s.named)
    for part, share in ((held, 0.2), (test, 0.1)):
        counts = Counter(label for s in part for label in s.named)
        for label in ("half", "tenth"):
            assert counts[label] == pytest.approx(share * totals[label], abs=2)
    assert divide_by_labels(every, 0.2, 0.1, seed=3) == (train, held, test)
    assert divide_by_labels(every, 0.2, 0.0, seed=3)[1] == held
    assert divide_by_labels(every, 0.2, 0.1, seed=4)[1] != held


def test_every_label_is_trained_on() -> None:
    alone = [Sample(Path(str(n)), str(n), str(n), None, (str(n),)) for n in range(10)]
    train, held, test = divide_by_labels(alone, 0.3, 0.3, seed=0)
    assert (len(train), held, test) == (10, [], [])


def test_of_a_label_of_two_images_one_is_held_out() -> None:
    rows = [("often",)] * 40 + [(f"rare {n // 2}",) for n in range(12)] + [("once", "rare 0")]
    every = [Sample(Path(str(n)), ";".join(labels), str(n), None, labels) for n, labels in enumerate(rows)]
    train, held, _ = divide_by_labels(every, 0.1, 0.1, seed=0)
    trained, kept = ({label for sample in part for label in sample.named} for part in (train, held))
    assert kept == {"often", *(f"rare {n}" for n in range(6))}
    assert trained == {*kept, "once"}
    assert len(held) <= 10
    assert divide_by_labels(every, 0.1, 0.0, seed=0)[1] == held
    assert divide_by_labels(every, 0.0, 0.1, seed=0)[1] == []


def test_groups_are_kept_together_and_count_by_their_labels(tmp_path: Path) -> None:
    rows = [f"{n},{n // 4},{'x' if n % 2 else 'x;y' if n % 4 else ''}" for n in range(40)]
    split = opened(write_table(tmp_path, ["path,who,labels", *rows]), grouping=Grouping("who"))
    groups = [{sample.group for sample in part} for part in (split.train, split.heldout)]
    assert not groups[0] & groups[1]
    assert len(split.heldout) in (8, 12)
    assert {label for sample in split.heldout for label in sample.named} == {"x", "y"}


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    lines = ["path,labels,split", "a.png,all;x,train", "b.png,all,train", "c.png,all;x;y,train"]
    table = write_table(tmp_path, [*lines, "d.png,all;y,train", "e.png,all;x,val"], pictures=True)
    (tmp_path / "f.png").write_bytes((tmp_path / "e.png").read_bytes())
    table.write_text(table.read_text() + "f.png,all,train\n")
    split = opened(table)
    return read_images(split, "data", SPEC, tmp_path / "cache", max_bad_fraction=0, threads=1, flip=False)


def test_targets_are_1_where_an_image_has_a_label(data: DataSet) -> None:
    assert data.labels == ("all", "x", "y")
    assert data.train.task == "multi"
    assert data.train.targets.tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 1]]


def test_the_audit_counts_labels_and_pairs_and_tells_what_every_image_has(data: DataSet) -> None:
    audit = data.audit()
    assert audit.classes["x"] == {"train": 2, "heldout": 1}
    assert (audit.trained_on, audit.held_out) == (4, 1)
    assert audit.label_sets is not None
    assert audit.label_sets.together == [[5, 3, 2], [3, 3, 1], [2, 1, 2]]
    assert audit.label_sets.always == ["all"]
    assert any("every image has" in finding for finding in data.findings())


def test_a_copy_across_the_split_is_left_out_and_contradicts_by_its_set_of_labels(data: DataSet) -> None:
    assert [leak.path for leak in data.audit().leaked] == ["f.png"]
    assert data.audit().conflicts == [("all: f.png", "all;x: e.png")]


def read_scenes(folder: Path, rows: Sequence[tuple[str, str, bytes]]) -> DataSet:
    """Of files of these labels, parts and contents, named by their numbers."""
    for number, (_, _, content) in enumerate(rows):
        (folder / f"{number}.png").write_bytes(content)
    lines = [f"{number}.png,{labels},{part}" for number, (labels, part, _) in enumerate(rows)]
    split = opened(write_table(folder, ["path,labels,split", *lines]))
    spec = PreprocessSpec(size=64, resize=64)
    return read_images(split, "data", spec, folder / "cache", max_bad_fraction=0, threads=1)


def test_a_turned_copy_under_other_labels_is_another_picture(tmp_path: Path) -> None:
    turned = CHANGES["turned by 180°"](scene(0))
    six, nine = ("six", "train", encoded(scene(0))), ("nine", "train", encoded(scene(1)))
    held = [("nine", "val", turned), ("six;nine", "val", encoded(scene(2)))]
    copies = read_scenes(tmp_path, [six, nine, ("six", "train", encoded(scene(3))), *held]).copies
    assert (copies.leaked, copies.conflicts) == ((), ())
    assert copies.turned == (("six: 0.png", "nine: 3.png"),)


def test_a_near_copy_stays_where_it_has_the_last_image_of_a_label(tmp_path: Path) -> None:
    originals = [encoded(scene(seed)) for seed in range(4)]
    again = [CHANGES["mirrored"](scene(seed)) for seed in range(3)]
    trained = [*zip(("rare;often", "often", "", "often"), originals, strict=True)]
    held = [*zip(("rare", "often", ""), again, strict=True)]
    rows = [*((labels, "train", of) for labels, of in trained), *((labels, "val", of) for labels, of in held)]
    data = read_scenes(tmp_path, rows)
    assert [leak.path for leak in data.copies.leaked] == ["1.png"]
    assert data.train.targets.tolist() == [[1, 1], [0, 0], [1, 0]]
