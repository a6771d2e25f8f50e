"""Images that belong together stay on one side of the split."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from fovea.errors import DataInvalid
from fovea.images.spec import PreprocessSpec
from tests.tiny import picture
from trainer.images.data import DataSet, read_images
from trainer.images.group_split import choose_groups, deal_groups
from trainer.images.grouping import UNGROUPED, Grouping
from trainer.images.sources import Split, list_every_image, open_source

BY_PATIENT = Grouping(pattern="/(p[0-9]+)_")
BY_COLUMN = Grouping(column="patient")
Rows = list[tuple[str, ...]]


def _folder(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _patients(patients: int = 10, images: int = 4) -> list[str]:
    return [
        f"{label}/p{p}_{i}.png" for label in ("cat", "dog") for p in range(patients) for i in range(images)
    ]


def _open(data: Path, grouping: Grouping = BY_PATIENT, test_fraction: float = 0.0, seed: int = 0) -> Split:
    return open_source(
        str(data),
        val_fraction=0.2,
        test_fraction=test_fraction,
        seed=seed,
        cache_dir=data.parent,
        grouping=grouping,
    )


def _groups(split: Split) -> list[set[str | None]]:
    return [{sample.group for sample in part} for part in (split.train, split.heldout, split.test)]


def test_no_group_is_in_two_parts_and_each_class_has_its_share(tmp_path: Path) -> None:
    split = _open(_folder(tmp_path / "data", _patients()), test_fraction=0.2)
    train, held, test = _groups(split)
    assert (len(train), len(held), len(test)) == (6, 2, 2)
    assert len(train | held | test) == 10
    for part in (split.heldout, split.test):
        assert Counter(sample.label for sample in part) == {"cat": 8, "dog": 8}


def test_groups_depend_on_the_seed_and_what_is_held_out_not_on_what_is_tested(tmp_path: Path) -> None:
    data = _folder(tmp_path / "data", _patients())
    assert _open(data) == _open(data)
    assert any(_open(data).heldout != _open(data, seed=seed).heldout for seed in (1, 2, 3))
    assert _open(data).heldout == _open(data, test_fraction=0.3).heldout


def test_record_says_how_many_groups_each_part_has(tmp_path: Path) -> None:
    record = _open(_folder(tmp_path / "data", _patients())).groups
    assert record is not None
    assert record.line() == "8 to train on, 2 held out"
    assert (record.by, record.images) == ("--group-pattern /(p[0-9]+)_", {"train": 64, "heldout": 16})
    assert (record.largest_images, list(record.findings())) == (8, [])


def test_shares_are_near_although_groups_differ_in_size() -> None:
    counts = {f"g{n}": Counter({n % 3: 1 + n % 40, 3: n % 7 + 1}) for n in range(120)}
    chosen, totals, held = choose_groups(counts, 0.15, seed=0), Counter[int](), Counter[int]()
    for group, classes in counts.items():
        totals.update(classes)
        if group in chosen:
            held.update(classes)
    assert all(abs(held[label] / totals[label] - 0.15) < 0.03 for label in totals)


def test_no_class_loses_its_last_group_and_each_of_two_is_held_out(tmp_path: Path) -> None:
    alone = [*_patients(), "bird/p77_0.png", "bird/p77_1.png", "fish/p78_0.png", "fish/p79_0.png"]
    split = _open(_folder(tmp_path / "data", alone), test_fraction=0.1)
    assert Counter(sample.label for sample in split.train).keys() == {"bird", "cat", "dog", "fish"}
    assert Counter(sample.label for sample in split.heldout).keys() == {"cat", "dog", "fish"}
    assert split.groups is not None
    assert split.groups.of_one_group == ["bird"]
    assert "are all of one group" in next(split.groups.findings())


def _table(folder: Path, rows: Rows, header: str = "path,label,patient") -> Path:
    with (folder / "set.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return folder / "set.csv"


def test_groups_of_a_table_stand_in_a_column(tmp_path: Path) -> None:
    rows: Rows = [(f"{n}.png", "cat" if n % 2 else "dog", f" anna{n // 4}") for n in range(40)]
    train, held, _ = _groups(_open(_table(tmp_path, rows), BY_COLUMN))
    assert train | held == {f"anna{n}" for n in range(10)}
    assert not train & held
    assert not _groups(_open(tmp_path / "set.csv", Grouping(pattern="([0-9])[.]")))[0] & {"anna1"}


@pytest.mark.parametrize(
    ("grouping", "why"),
    [
        (
            Grouping(column="camera"),
            "--group camera: .*no such column; its first line is `path,label,patient`",
        ),
        (BY_COLUMN, "line 3: the column 'patient' has no group, but ' '"),
        (Grouping(pattern="(x+)"), "finds no group in 1 of 2 paths, such as 2.png; every image needs one"),
    ],
)
def test_image_without_a_group_is_refused(tmp_path: Path, grouping: Grouping, why: str) -> None:
    table = _table(tmp_path, [("x.png", "cat", "anna"), ("2.png", "dog", " ")])
    with pytest.raises(DataInvalid, match=why):
        _open(table, grouping)


@pytest.mark.parametrize(
    ("pattern", "test_fraction", "why"),
    [
        ("(png)", 0.0, "no group to hold out, for the images are all of one group, 'png'"),
        (
            "(cat|dog)",
            0.0,
            "no group to hold out, for each of the 2 groups holds the last images of some class",
        ),
        ("/p([0-4]|[5-9])_", 0.2, "no group to test on"),
    ],
)
def test_too_few_groups_are_refused(tmp_path: Path, pattern: str, test_fraction: float, why: str) -> None:
    names = [name for name in _patients() if test_fraction == 0.0 or "/p0_" in name or "/p1_" in name]
    data = _folder(tmp_path / "data", names)
    with pytest.raises(DataInvalid, match=why):
        _open(data, Grouping(pattern=pattern), test_fraction=test_fraction)


def test_column_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"--group patient: .*is no CSV file .*--group-pattern"):
        _open(_folder(tmp_path / "data", _patients()), BY_COLUMN)


def test_of_a_given_split_a_group_stays_in_the_last_part_that_has_it(tmp_path: Path) -> None:
    parts = {"train": range(8), "val": (0, 8), "test": (8, 9)}
    names = [f"{part}/{label}/p{p}_{part}.png" for part, of in parts.items() for p in of for label in "ab"]
    split = _open(_folder(tmp_path / "data", names))
    assert _groups(split) == [{f"p{n}" for n in range(1, 8)}, {"p0"}, {"p8", "p9"}]
    assert split.groups is not None
    assert len(split.groups.leaked) == 4
    assert "train/a/p0_train.png: of its group 'p0' others are held out" in next(split.groups.findings())


def test_given_split_whose_groups_are_on_both_sides_throughout_is_refused(tmp_path: Path) -> None:
    names = [f"{part}/{label}/p1_{n}.png" for part in ("train", "val") for label in "ab" for n in range(3)]
    with pytest.raises(
        DataInvalid, match=r"no image of class 'a' is left to train on.*let the trainer split"
    ):
        _open(_folder(tmp_path / "data", names))


@pytest.mark.parametrize("leaking", [False, True])
def test_class_that_corrections_emptied_is_not_said_to_have_leaked(tmp_path: Path, leaking: bool) -> None:
    misspelt = ("0.png", "caat", "p0" if leaking else "p1", "train")
    split = _open_corrected(_split_table(tmp_path, misspelt), ["0.png,cat"])
    assert split.labels == ("cat", "dog")
    assert split.groups is not None
    assert len(split.groups.leaked) == 1 + leaking


@pytest.mark.parametrize(
    ("corrected", "why"),
    [
        (["1.png,dog"], "no image of class 'cat' is left to train on, for 2 images are left out"),
        (["0.png,dog", "4.png,cat,leave out", "5.png,cat,leave out"], "no image is held out"),
    ],
)
def test_what_groups_and_corrections_emptied_together_is_told(
    tmp_path: Path, corrected: list[str], why: str
) -> None:
    with pytest.raises(DataInvalid, match=why):
        _open_corrected(_split_table(tmp_path, ("0.png", "cat", "p0", "train")), corrected)


def _split_table(folder: Path, first: tuple[str, ...]) -> Path:
    """One group, p0, is in train and val."""
    train = [
        ("1.png", "cat", "p1", "train"),
        ("2.png", "dog", "p2", "train"),
        ("3.png", "dog", "p0", "train"),
    ]
    val = [("4.png", "cat", "p0", "val"), ("5.png", "dog", "p0", "val")]
    return _table(folder, [first, *train, *val], "path,label,patient,split")


def _open_corrected(table: Path, rows: list[str]) -> Split:
    right = table.parent / "right.csv"
    right.write_text("\n".join(["path,label,decision", *rows]))
    return open_source(
        str(table), [str(right)], val_fraction=0.2, seed=0, cache_dir=table.parent, grouping=BY_COLUMN
    )


def test_copies_in_two_groups_are_told(tmp_path: Path) -> None:
    for label in ("red", "blue"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for p in range(6):
            image = picture(label, (30 + (p if p != 5 else 4), 25))
            (tmp_path / "data" / label / f"p{p}_.png").write_bytes(image)
    data = _read(tmp_path / "data", tmp_path)
    record = data.audit().groups
    assert record is not None
    assert "p4: red/p4_.png" in {name for names in record.copies for name in names}
    assert any("in different groups (are those one?)" in finding for finding in data.findings())


def _read(data: Path, cache: Path) -> DataSet:
    split = _open(data)
    spec = PreprocessSpec(size=16, resize=18)
    return read_images(split, str(data), spec, cache, max_bad_fraction=0.01, threads=1)


def test_folds_are_of_whole_groups_and_the_only_one_of_a_class_is_in_none() -> None:
    counts = {f"g{n}": Counter({n % 2: 5}) for n in range(12)} | {"alone": Counter({0: 3, 2: 2})}
    folds = deal_groups(counts, 4, seed=0)
    assert folds["alone"] is None
    assert Counter(fold for fold in folds.values() if fold is not None) == {0: 3, 1: 3, 2: 3, 3: 3}


def test_every_image_is_listed_with_its_group(tmp_path: Path) -> None:
    data = _folder(tmp_path / "data", _patients(2, 1))
    assert {s.group for s in list_every_image(str(data), (), tmp_path, BY_PATIENT).train} == {"p0", "p1"}
    assert {s.group for s in list_every_image(str(data), (), tmp_path, UNGROUPED).train} == {None}
