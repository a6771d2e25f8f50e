import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fcntl import LOCK_EX
from pathlib import Path

import numpy as np
import pytest

from fovea.errors import DataInvalid
from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec
from tests.tiny import picture
from trainer.images.audit import NotTakenRecord
from trainer.images.data import DataSet, read_images
from trainer.images.pixels import _locked, _own_folder
from trainer.images.sources import Split, open_source

SPEC = PreprocessSpec(size=16, resize=18)


def _folder(root: Path, count: int = 10) -> Path:
    for label in ("red", "blue"):
        (root / label).mkdir(parents=True)
        for index in range(count):
            (root / label / f"{index}.png").write_bytes(picture(label, (30 + index, 25)))
    return root


def _read(data: Path | str, cache: Path, max_bad_fraction: float = 0.01) -> DataSet:
    split = open_source(str(data), val_fraction=0.2, seed=0, cache_dir=cache)
    return read_images(split, str(data), SPEC, cache, max_bad_fraction=max_bad_fraction, threads=1)


def test_folder_of_classes_is_split_by_class(tmp_path: Path) -> None:
    data = _read(_folder(tmp_path / "data"), tmp_path / "cache")
    assert data.labels == ("blue", "red")
    assert np.bincount(data.train.targets).tolist() == [8, 8]
    assert np.bincount(data.heldout.targets).tolist() == [2, 2]


def test_split_depends_on_nothing_but_the_seed(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "data")
    splits = [open_source(str(folder), val_fraction=0.3, seed=seed, cache_dir=tmp_path) for seed in (1, 1, 2)]
    assert splits[0] == splits[1]
    assert splits[0].heldout != splits[2].heldout


def test_heldout_pixels_are_what_serving_would_see(tmp_path: Path) -> None:
    data = _read(_folder(tmp_path / "data"), tmp_path / "cache")
    for pixels, sample in zip(data.heldout.pixels(slice(None)), data.heldout.samples, strict=True):
        assert np.array_equal(pixels, decode_image(sample.path.read_bytes(), SPEC))
    assert data.train.pixels(slice(None)).shape == (16, 18, 18, 3)


def test_train_and_val_folders_are_taken_as_they_are(digits: Path, tmp_path: Path) -> None:
    split = open_source(str(digits), val_fraction=0.5, seed=0, cache_dir=tmp_path)
    assert len(split.train) + len(split.heldout) == 1797
    assert {sample.path.parts[-3] for sample in split.heldout} == {"val"}


def test_csv_gives_paths_labels_and_splits(tmp_path: Path) -> None:
    _folder(tmp_path / "images")
    rows = [
        f"images/{label}/{index}.png,{label},{'val' if index < 3 else 'train'}"
        for label in ("red", "blue")
        for index in range(10)
    ]
    (tmp_path / "set.csv").write_text("\n".join(["path,label,split", *rows]))
    data = _read(tmp_path / "set.csv", tmp_path / "cache")
    assert (len(data.train), len(data.heldout)) == (14, 6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,class\na,b\n", "first line should be"),
        ("path,label,split\na.png,cat,sometimes\n", "line 2: .*'sometimes'"),
        ("path,label\na.png\n", "line 2"),
        ("path,label\na.png,cat\x1b[31m\n", "line 2"),
        ("path,label,label\na.png,cat,dog\n", "not `path,label,label`"),
        ("path;label\na.png;cat\n", "not `path;label`"),
    ],
)
def test_wrong_csv_is_named_by_its_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text(text)
    with pytest.raises(DataInvalid, match=said):
        _read(tmp_path / "set.csv", tmp_path)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
def test_heldout_part_may_have_any_of_its_usual_names(name: str, tmp_path: Path) -> None:
    for part in ("train", name):
        _folder(tmp_path / "data" / part, 3)
    rows = [f"data/train/red/{i}.png,red,{'train' if i else name}" for i in range(3)]
    rows += ["data/train/blue/0.png,blue,train"]
    (tmp_path / "set.csv").write_text("\n".join(["path,label,split", *rows]))
    split = open_source(str(tmp_path / "data"), val_fraction=0.5, seed=0, cache_dir=tmp_path)
    assert (split.labels, len(split.train), len(split.heldout)) == (("blue", "red"), 6, 6)
    split = open_source(str(tmp_path / "set.csv"), val_fraction=0.5, seed=0, cache_dir=tmp_path)
    assert (len(split.train), len(split.heldout)) == (3, 1)


def test_val_is_held_out_and_test_is_tested_on(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("test", 3), ("val", 2)):
        _folder(tmp_path / "data" / part, count)
    split = open_source(str(tmp_path / "data"), val_fraction=0.5, seed=0, cache_dir=tmp_path)
    assert (len(split.train), len(split.heldout), len(split.test)) == (10, 4, 6)


def _open(folder: Path, test_fraction: float, **options: float) -> Split:
    fractions = {"val_fraction": 0.2, **options}
    return open_source(str(folder), seed=0, cache_dir=folder, test_fraction=test_fraction, **fractions)  # type: ignore[arg-type]


def test_a_fraction_of_each_class_is_tested_on_and_what_is_held_out_stays(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "data")
    without, split = _open(folder, 0), _open(folder, 0.3)
    assert (without.test, split.heldout) == ((), without.heldout)
    assert Counter(sample.label for sample in split.test) == {"red": 3, "blue": 3}
    assert Counter(sample.label for sample in split.train) == {"red": 5, "blue": 5}
    assert {*split.train, *split.heldout, *split.test} == {*without.train, *without.heldout}
    assert split == _open(folder, 0.3)


def test_of_a_given_split_the_fraction_is_of_train_and_a_part_test_comes_first(tmp_path: Path) -> None:
    for part in ("train", "val"):
        _folder(tmp_path / "data" / part)
    split = _open(tmp_path / "data", 0.2)
    assert (len(split.train), len(split.heldout), len(split.test)) == (16, 20, 4)
    assert {sample.path.parts[-3] for sample in (*split.train, *split.test)} == {"train"}
    _folder(tmp_path / "data" / "test", 1)
    split = _open(tmp_path / "data", 0.2)
    assert (len(split.train), len(split.heldout), len(split.test)) == (20, 20, 2)


def test_a_class_of_few_images_is_trained_on_first_then_held_out(tmp_path: Path) -> None:
    for label, images in (("one", 1), ("two", 2), ("three", 3)):
        (tmp_path / label).mkdir()
        for index in range(images):
            (tmp_path / label / f"{index}.png").write_bytes(picture("red", (30 + index, 25)))
    split = _open(tmp_path, 0.3)
    assert [Counter(s.label for s in part) for part in (split.train, split.heldout, split.test)] == [
        {"one": 1, "two": 1, "three": 1},
        {"two": 1, "three": 1},
        {"three": 1},
    ]


def test_a_class_that_is_only_tested_on_is_refused(tmp_path: Path) -> None:
    _folder(tmp_path / "train")
    _folder(tmp_path / "test", 2)
    (tmp_path / "test" / "red").rename(tmp_path / "test" / "green")
    with pytest.raises(DataInvalid, match="class 'green' is held out but has no image to train on"):
        _open(tmp_path, 0)


def test_part_of_another_name_is_not_taken_for_a_class(tmp_path: Path) -> None:
    for part in ("train", "holdout"):
        _folder(tmp_path / "data" / part, 3)
    with pytest.raises(DataInvalid, match="beside it, holdout, is called like no part: rename it to val/ or"):
        open_source(str(tmp_path / "data"), val_fraction=0.5, seed=0, cache_dir=tmp_path)


def test_what_is_not_taken_and_what_is_alike_by_name_is_in_the_audit_and_is_said(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "data" / "train")
    (folder / "Red").mkdir()
    (folder / "Red" / "1.png").write_bytes(picture("red", (99, 20)))
    _folder(tmp_path / "data" / "test", 3)
    (folder / "red" / "IMG_1.MOV").write_bytes(b"")
    (folder / "red" / "._1.png").write_bytes(b"")
    data = _read(tmp_path / "data", tmp_path / "cache")
    assert data.audit().not_taken == {
        ".mov": NotTakenRecord(files=1, names=["train/red/IMG_1.MOV"]),
        "hidden or system files": NotTakenRecord(files=1, names=["train/red/._1.png"]),
    }
    assert data.test is not None
    assert len(data.test) == data.audit().tested_on == 6
    assert data.audit().look_alikes == [("Red", "red")]
    said = list(data.findings())
    assert (
        "files not taken: 1 .mov (train/red/IMG_1.MOV), 1 hidden or system files (train/red/._1.png)" in said
    )
    assert (
        "classes whose names differ in case, blanks or dashes alone: 'Red' and 'red' are kept apart" in said
    )


def test_class_may_be_called_train(tmp_path: Path) -> None:
    _folder(tmp_path / "data")
    (tmp_path / "data" / "red").rename(tmp_path / "data" / "train")
    split = open_source(str(tmp_path / "data"), val_fraction=0.5, seed=0, cache_dir=tmp_path)
    assert split.labels == ("blue", "train")


def test_bad_file_is_left_out_by_name(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "data", count=60)
    (folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    data = _read(folder, tmp_path / "cache")
    (bad,) = data.bad
    assert bad.path.endswith("red/broken.jpg")
    assert len(data.train) + len(data.heldout) == 120
    assert data.audit().quarantined == [bad]
    for images in (data.train, data.heldout):
        for index, sample in enumerate(images.samples):
            red, _, blue = images.pixels(np.array([index]))[0].mean((0, 1))
            assert (red > blue) == (sample.label == "red")


def test_too_many_bad_files_end_the_job_and_are_all_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _folder(tmp_path / "data")
    for label in ("red", "blue"):
        (folder / label / "broken.png").write_bytes(b"")
    with pytest.raises(
        DataInvalid, match=r"2 of 22 .*--max-bad-fraction 0.01.*(red|blue)/broken.png: .*empty"
    ):
        _read(folder, tmp_path / "cache")
    assert "cannot be used: red/broken.png: the image is empty" in caplog.text
    assert "cannot be used: blue/broken.png: the image is empty" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: _remove(folder), "no such folder"),
        (lambda folder: _remove(folder / "red", folder / "blue"), "there is no image"),
        (lambda folder: _remove(folder / "red"), "one class only, 'blue'"),
        (lambda folder: (folder / "green").mkdir(), "class 'green' is empty"),
    ],
    ids=["no folder", "no image", "one class", "empty class"],
)
def test_unusable_folder_is_refused_in_a_line(
    spoil: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    folder = _folder(tmp_path / "data")
    spoil(folder)
    with pytest.raises(DataInvalid, match=said):
        _read(folder, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder)


def test_second_reading_decodes_nothing(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "data")
    first = _read(folder, tmp_path / "cache")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.npy")}
    second = _read(folder, tmp_path / "cache")
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.npy")} == before
    assert np.array_equal(first.train.pixels(slice(None)), second.train.pixels(slice(None)))


def test_another_decoder_decodes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _folder(tmp_path / "data")
    _read(folder, tmp_path / "cache")
    monkeypatch.setattr("trainer.images.pixels.image_path_text", lambda: "pillow 0.1")
    _read(folder, tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "pixels").glob("*.npy"))) == 4


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    abandoned, live = tmp_path / "cache" / "pixels" / ".tmp-a", tmp_path / "cache" / "pixels" / ".tmp-b"
    for partial in (abandoned, live):
        partial.mkdir(parents=True)
        (partial / "pixels.npy").write_bytes(b"half")
    with _locked(live, LOCK_EX):
        _read(_folder(tmp_path / "data"), tmp_path / "cache")
    assert (abandoned.exists(), live.exists()) == (False, True)


def test_who_begins_at_the_same_time_does_not_take_the_other_for_killed(tmp_path: Path) -> None:
    def begin(_: int) -> None:
        with _own_folder(tmp_path) as folder:
            (folder / "pixels.npy").touch()

    with ThreadPoolExecutor(8) as processes:
        list(processes.map(begin, range(400)))


def test_cache_that_lost_its_pixels_is_decoded_again(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "data")
    first = _read(folder, tmp_path / "cache").train.pixels(slice(None)).copy()
    for pixels in (tmp_path / "cache").rglob("*.npy"):
        pixels.unlink()
    assert np.array_equal(_read(folder, tmp_path / "cache").train.pixels(slice(None)), first)


def test_digest_changes_with_one_label(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "data")
    before = _read(folder, tmp_path / "cache").digest
    (folder / "red" / "0.png").rename(folder / "blue" / "99.png")
    assert _read(folder, tmp_path / "cache").digest != before
