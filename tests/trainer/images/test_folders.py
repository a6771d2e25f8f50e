"""What a folder's layout is taken for: as data sets are handed on, by people, phones, Macs and archives."""

import itertools
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import DataInvalid
from fovea.images.names import LITTER, NO_ENDING
from tests.tiny import picture
from trainer.images.folders import BESIDE, UNPLACED
from trainer.images.sources import Split, open_heldout, open_source
from trainer.images.tree import DEAD_LINK, LOOP, READ_TWICE

_WIDTHS = itertools.cycle(range(20, 400))


def lay_out(root: Path, *files: str) -> Path:
    """`cat/#.jpg` are four images of their own, `cat/#.mov` four files that are none."""
    for name in files:
        for index in range(4):
            file = root / name.replace("#", str(index))
            file.parent.mkdir(parents=True, exist_ok=True)
            image = file.suffix.lower() in {".jpg", ".png"} and not file.name.startswith(".")
            file.write_bytes(picture("red", (next(_WIDTHS), 20)) if image else b"no image")
    return root


def both(folder: str) -> tuple[str, str]:
    return f"{folder}/cat/#.jpg", f"{folder}/dog/#.jpg"


def opened(data: Path) -> Split:
    return open_source(str(data), val_fraction=0.25, seed=0, cache_dir=data.parent / "cache")


WHOLE: dict[str, Any] = {"train": 6, "heldout": 2, "test": 0, "not_taken": {}}
"""Eight images, of which a quarter is held out."""
TAKEN: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "kaggle's": ((*both("Training"), *both("Testing")), WHOLE | {"test": 8}),
    "a folder without images beside the only part": (
        (*both("train"), "notes/#.mov"),
        WHOLE | {"not_taken": {".mov": 4}},
    ),
    "upper case": ((*both("TRAIN"), *both("VALID")), WHOLE | {"train": 8, "heldout": 8}),
    "wrapped parts": (
        (*both("training_set/training_set"), *both("test_set/test_set")),
        WHOLE | {"test": 8},
    ),
    "parts of a common name": (
        (*both("seg_train/seg_train"), *both("seg_test/seg_test"), "seg_pred/seg_pred/#.jpg"),
        WHOLE | {"test": 8, "not_taken": {"without labels": 4}},
    ),
    "three parts and a copy": (
        (*both("train"), *both("val"), *both("test"), *both("xray/train"), "__MACOSX/train/._#.jpg"),
        {"train": 8, "heldout": 8, "test": 8, "not_taken": {BESIDE: 8, LITTER: 1}},
    ),
    "flat val": ((*both("train"), "val/#.jpg"), WHOLE | {"not_taken": {"of val without labels": 4}}),
    "flat test in a folder": (
        (*both("x_train/x_train"), "x_test/x_test/#.jpg"),
        WHOLE | {"not_taken": {"of test without labels": 4}},
    ),
    "train and test": ((*both("train"), *both("test")), WHOLE | {"test": 8}),
    "train alone": (both("train"), WHOLE),
    "unlabelled": ((*both("train"), "unlabeled/#.jpg"), WHOLE | {"not_taken": {"without labels": 4}}),
    "stray images in a part": (
        (*both("train"), "train/0.jpg", *both("val")),
        {"train": 8, "heldout": 8, "test": 0, "not_taken": {UNPLACED: 4}},
    ),
    "stray images": ((*both("."), "#.jpg", "cat/._#.jpg"), WHOLE | {"not_taken": {UNPLACED: 4, LITTER: 4}}),
    "folders in classes": (("cat/2023/#.jpg", "dog/2023/#.jpg"), WHOLE),
    "images/ in each class": (
        ("train/cat/images/#.jpg", "train/dog/images/#.jpg", "val/images/#.jpg"),
        WHOLE | {"not_taken": {"of val without labels": 4}},
    ),
    "a phone's": (
        (*both("."), "cat/IMG_#.MOV", "cat/IMG_#.AAE", "dog/NOTES"),
        WHOLE | {"not_taken": {".mov": 4, ".aae": 4, NO_ENDING: 4}},
    ),
}  # fmt: skip


def test_layouts_are_taken_for_what_they_mean(tmp_path: Path) -> None:
    for name, (files, expected) in TAKEN.items():
        split = opened(lay_out(tmp_path / name, *files))
        kinds = {kind: counted.files for kind, counted in split.passed_over.kinds.items()}
        # `lay_out` writes a file of a fixed name four times.
        once = {kind: 1 if kind == NO_ENDING else count for kind, count in expected["not_taken"].items()}
        if name == "stray images in a part":
            once = {UNPLACED: 1}
        assert split.labels == ("cat", "dog"), name
        assert (len(split.train), len(split.heldout)) == (expected["train"], expected["heldout"]), name
        assert len(split.test) == expected["test"], name
        assert kinds == once, name
        taken = {str(sample) for sample in (*split.train, *split.heldout)}
        assert not any(image.startswith(("test", "Test", "xray", "seg_test")) for image in taken), name


REFUSED = {
    "folds": ((*both("one"), *both("two")), "folders one, two all hold the same folders .cat, dog."),
    "folds with a stray image": ((*both("one"), *both("two"), "one/sheet.jpg"), "all hold the same folders"),
    "folds in train": ((*both("train/a"), *both("train/b")), r"its folders a, b all hold the same folders"),
    "wrapped": (
        (*both("photos/photos"), "photos/readme.txt"),
        r"lie in photos/photos/, in the folders cat, dog: give --data \S+/wrapped/photos/photos$",
    ),
    "wrapped parts of a split": (
        (*both("archive/train"), *both("archive/test")),
        r"in the folders test, train: give --data .+/archive$",
    ),
    "another part": ((*both("train"), *both("holdout")), "beside it, holdout, is called like no part"),
    "two of a part": ((*both("train"), *both("val"), *both("dev")), "both called as the part val"),
    "flat": (("#.jpg", "labels.csv"), r"its images \(4\) lie in no class's folder.*; there is labels.csv"),
    "flat parts": (("train/#.jpg", "test/#.jpg"), "the images of test, train lie in no class's folder"),
    "one folder": (("images/#.jpg", "labels.csv"), "one class only, 'images'.*; there is labels.csv"),
    "test alone": (both("test"), "there is test, but no image to train on"),
    "flat train": (("train/#.jpg", *both("test")), "to train on; not taken: 4 of train without"),
    "empty class": (("cat/#.jpg", "dog/#.mov"), r"class 'dog' is empty: .* \(\.mov instead\)"),
    "no image": (("#.mov",), r"there is no image .*; not taken: 4 \.mov \(0\.mov\)"),
    "case differs": (
        ("train/cat/#.jpg", "train/dog/#.jpg", "val/Cat/#.jpg", "val/dog/#.jpg"),
        "class 'Cat' is held out but has no image to train on; there is 'cat', which may be meant",
    ),
}  # fmt: skip


def test_layouts_of_another_meaning_are_refused_and_told_apart(tmp_path: Path) -> None:
    for name, (files, said) in REFUSED.items():
        with pytest.raises(DataInvalid, match=said):
            opened(lay_out(tmp_path / name, *files))


def test_a_model_is_measured_on_the_test_part_by_any_of_its_names(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "data", *both("Training"), *both("Testing/Testing"))
    held = open_heldout(str(data), tmp_path, ("cat", "dog"))
    assert held.part == "test"
    assert {str(sample).split("/")[0] for sample in held.samples} == {"Testing"}


def test_folders_that_the_model_knows_are_classes_whatever_they_hold(tmp_path: Path) -> None:
    cases = {
        "one": (("cat/a/#.jpg", "cat/b/#.jpg"), {"cat"}),
        "years": (("cat/a/#.jpg", "cat/b/#.jpg", "dog/a/#.jpg", "dog/b/#.jpg"), {"cat", "dog"}),
        "parts": (("train/a/#.jpg", "test/a/#.jpg"), {"train", "test"}),
    }
    for name, (files, labels) in cases.items():
        held = open_heldout(str(lay_out(tmp_path / name, *files)), tmp_path, ("cat", "dog", "train", "test"))
        assert {sample.label for sample in held.samples} == labels


def test_a_file_without_an_ending_is_known_by_its_bytes(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "data", *both("."), "cat/LICENSE")
    for index in range(3):
        (data / "dog" / f"IMG_{index}").write_bytes(picture("red", (400 + index, 20)))
    split = opened(data)
    assert len(split.train) + len(split.heldout) == 11
    assert split.passed_over.record() == {NO_ENDING: {"files": 1, "names": ["cat/LICENSE"]}}


def test_links_are_followed_once_and_not_round_in_circles(tmp_path: Path) -> None:
    lay_out(tmp_path / "pool", "#.jpg")
    data = lay_out(tmp_path / "data", *both("."), "cat/own/9#.jpg")
    for link, target in {
        "bird": "../birds",
        "cat/again": "own",
        "cat/pool": "../../pool",
        "cat/pool too": "../../pool",
        "cat/self": ".",
        "cat/up": "../..",
        "dog/dead.jpg": "nowhere.jpg",
        "dog/self.jpg": "self.jpg",
    }.items():
        (data / link).symlink_to(target)
    (tmp_path / "pool" / "back").symlink_to(data / "cat")
    lay_out(tmp_path / "birds", "#.jpg")
    split = opened(data)
    labels = [sample.label for sample in (*split.train, *split.heldout)]
    assert {label: labels.count(label) for label in split.labels} == {"bird": 4, "cat": 12, "dog": 4}
    record = split.passed_over.record()
    assert set(record[READ_TWICE]["names"]) == {"cat/again", "cat/pool too"}
    assert set(record[LOOP]["names"]) >= {"cat/self/", "cat/up/", "cat/pool/back/"}
    assert record[DEAD_LINK]["names"] == ["dog/dead.jpg", "dog/self.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "data", *both("."), "cat/deep/er/#.jpg")
    (data / "cat" / "deep").chmod(0)
    with pytest.raises(DataInvalid, match=r"data/cat/deep: this folder cannot be read"):
        opened(data)
    (data / "cat" / "deep").chmod(0o700)


def test_what_a_file_system_keeps_for_itself_does_no_harm(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "data", *both("."))
    (data / "lost+found").mkdir(mode=0)
    assert opened(data).labels == ("cat", "dog")


CAFE = unicodedata.normalize("NFC", "café")
CAFE_ON_A_MAC = unicodedata.normalize("NFD", "café")


def test_labels_are_stripped_and_composed_in_folders_parts_and_tables(tmp_path: Path) -> None:
    spellings = (f"{CAFE_ON_A_MAC}/#.jpg", f"{CAFE}/1#.jpg", "dog /#.jpg", "dog/1#.jpg")
    assert opened(lay_out(tmp_path / "folders", *spellings)).labels == (CAFE, "dog")
    parts = (f"train/{CAFE}/#.jpg", "train/dog/#.jpg", f"val/{CAFE_ON_A_MAC}/#.jpg", "val/dog /#.jpg")
    split = opened(lay_out(tmp_path / "parts", *parts))
    assert (split.labels, len(split.heldout)) == ((CAFE, "dog"), 8)
    rows = [f"folders/dog/1{i}.jpg,{label}" for i, label in enumerate(("dog", " dog", CAFE, CAFE_ON_A_MAC))]
    (tmp_path / "set.csv").write_text("\n".join(["path,label", *rows]))
    assert opened(tmp_path / "set.csv").labels == (CAFE, "dog")


def test_a_table_names_files_in_either_unicode_form(tmp_path: Path) -> None:
    lay_out(tmp_path, f"{CAFE_ON_A_MAC}/{CAFE_ON_A_MAC}#.jpg", f"{CAFE}/dog#.jpg")
    rows = [f"{CAFE}/{CAFE}{i}.jpg,cat,TRAIN" for i in range(2)]
    rows += [
        f" {CAFE_ON_A_MAC}/dog{i}.jpg ,dog,{part}"
        for i, part in enumerate(("train", "Validation", "testing"))
    ]
    (tmp_path / "set.csv").write_text("\n".join(["path,label,split", *rows]))
    split = opened(tmp_path / "set.csv")
    assert (len(split.train), len(split.heldout), len(split.test)) == (3, 1, 1)
    missing = [sample for sample in split.train if not sample.path.is_file()]
    assert [str(sample) for sample in missing] == []


def test_a_model_may_spell_its_labels_in_another_form(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "data", f"{CAFE}/#.jpg", "dog/#.jpg")
    held = open_heldout(str(data), tmp_path, (CAFE_ON_A_MAC, "dog "))
    assert {sample.label for sample in held.samples} == {CAFE_ON_A_MAC, "dog "}
