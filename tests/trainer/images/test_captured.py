"""Captured images, as `--data` takes them after or instead of others."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from fovea.errors import DataInvalid, SettingsInvalid
from tests.buckets import Bucket
from tests.captures import captured, digest, put, row
from tests.tiny import picture
from trainer.images.captured import CapturesRecord
from trainer.images.listing import Sample
from trainer.images.sources import Split, list_every_image, open_heldout, open_source
from trainer.images.stratification import divide_by_content

PICTURES = {colour: [picture(colour, (30 + n, 20)) for n in range(12)] for colour in ("red", "green")}
RED, GREEN = PICTURES["red"], PICTURES["green"]
EACH = [*RED, *GREEN]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images a class; the first of red is called green."""
    for label, images in PICTURES.items():
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "photos" / label / f"{number}.png").write_bytes(images[number])
    (tmp_path / "photos" / "red" / "0.png").rename(tmp_path / "photos" / "green" / "5.png")
    return tmp_path / "photos"


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    """All images, five a class of which are photos, and some on two days."""
    put(tmp_path / "captures", [captured(image, "red") for image in EACH])
    put(tmp_path / "captures", [captured(image, "green") for image in EACH[::3]], days=1)
    return tmp_path / "captures"


def written(folder: Path, *rows: str, name: str = "c.csv") -> str:
    (folder / name).write_text("\n".join(["path,label,decision", *rows]))
    return str(folder / name)


def opened(
    data: Path, corrections: Sequence[str] = (), captures: Sequence[Path] = (), seed: int = 0, test: float = 0
) -> Split:
    return open_source(
        str(data),
        corrections,
        captures=[str(folder) for folder in captures],
        val_fraction=0.3,
        test_fraction=test,
        seed=seed,
        cache_dir=data.parent / "cache",
    )


def labels_of(split: Split) -> dict[str, str]:
    return {str(sample): sample.label for sample in (*split.train, *split.heldout, *split.test)}


def name(image: bytes) -> str:
    return f"sha256/{digest(image)}"


def test_captured_images_with_a_label_are_trained_on_beside_others(
    photos: Path, captures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rows = [*(row(image, "red") for image in RED[5:9]), *(row(image, "green") for image in GREEN[5:8])]
    csv = written(photos.parent, *rows, row(GREEN[8], "", "leave out"))
    split = opened(photos, (csv,), (captures,))
    labels = labels_of(split)
    assert len(labels) == 10 + 7
    assert {labels[name(image)] for image in RED[5:9]} == {"red"}
    assert {labels[name(image)] for image in GREEN[5:8]} == {"green"}
    assert split.captures == CapturesRecord(
        sources=(str(captures),), images=24, labelled=7, left_out=1, known=10, without_image=0
    )
    assert (
        f"of 24 captured images of {captures}, 7 have a label by corrections, 6 have none, "
        "10 are among the other images, 1 are left out by corrections"
    ) in caplog.text
    sample = next(sample for sample in (*split.train, *split.heldout) if str(sample) == name(RED[5]))
    assert (sample.read(), sample.path.suffix) == (RED[5], ".png")


def test_corrections_win_by_content_and_by_path_the_last_row_of_all(photos: Path, captures: Path) -> None:
    first = written(photos.parent, "green/5.png,red,", row(GREEN[0], "red"), row(RED[9], "red"))
    labels = labels_of(opened(photos, (first,), (captures,)))
    assert (labels["green/5.png"], labels["green/0.png"], labels[name(RED[9])]) == ("red", "red", "red")
    then = written(
        photos.parent, row(RED[0], "green"), "green/0.png,green,", row(RED[9], "green"), name="d.csv"
    )
    labels = labels_of(opened(photos, (first, then), (captures,)))
    assert (labels["green/5.png"], labels["green/0.png"], labels[name(RED[9])]) == ("green", "green", "green")
    alone = opened(photos, (first,))
    assert labels_of(alone)["green/0.png"] == "red"
    assert alone.corrections is not None
    assert (alone.corrections.labels, alone.corrections.absent, alone.captures) == (2, 1, None)


def test_captures_alone_have_the_labels_that_they_were_given(captures: Path) -> None:
    rows = [row(image, label) for label, images in PICTURES.items() for image in images[:6]]
    csv = written(captures.parent, *rows)
    split = opened(captures, (csv,))
    assert (split.labels, len(split.train) + len(split.heldout)) == (("green", "red"), 12)
    assert {sample.label for sample in split.heldout} == {"green", "red"}
    every = list_every_image(str(captures), (csv,), captures.parent / "cache")
    assert (len(every.train), every.captures) == (12, split.captures)
    with pytest.raises(DataInvalid, match=r"24 have none; what a model answered is no label: give a CSV"):
        opened(captures)


def test_nothing_that_was_trained_on_is_held_out_as_more_is_captured(photos: Path, captures: Path) -> None:
    def names(samples: Sequence[Sample]) -> set[str]:
        return {str(sample) for sample in samples}

    rows = [row(image, label) for label, images in PICTURES.items() for image in images]
    few = opened(photos, (written(photos.parent, *rows[::2]),), (captures,))
    all_of_them = opened(photos, (written(photos.parent, *rows),), (captures,))
    assert names(opened(photos).heldout) <= names(few.heldout) & names(all_of_them.heldout)
    assert not names(few.train) & names(all_of_them.heldout)
    assert names(all_of_them.heldout) - names(few.heldout)


def test_images_are_divided_by_what_is_drawn_for_each() -> None:
    samples = [Sample(Path(), "cat", f"sha256/{number:064x}") for number in range(400)]
    train, heldout, test = divide_by_content(samples, 0.2, 0.1, 0)
    assert [len(train), len(heldout), len(test)] == pytest.approx([280, 80, 40], abs=20)
    fewer = divide_by_content(samples[:100], 0.2, 0.1, 0)
    for part, all_of_it in zip(fewer, (train, heldout, test), strict=True):
        assert set(part) <= set(all_of_it)
    assert set(divide_by_content(samples, 0.2, 0, 1)[1]) != set(heldout)
    assert [len(part) for part in divide_by_content(samples[:1], 0.2, 0.1, 0)] == [1, 0, 0]
    assert [len(part) for part in divide_by_content(samples[:2], 0.001, 0.998, 0)] == [1, 1, 0]


def test_captured_images_are_tested_on_too_unless_there_is_a_part_test(photos: Path, captures: Path) -> None:
    csv = written(photos.parent, *(row(image, "red") for image in RED[5:]))
    tested = {str(sample) for sample in opened(photos, (csv,), (captures,), test=0.4).test}
    assert tested & {name(image) for image in RED}
    photos.rename(photos.parent / "train")
    (photos.parent / "parts").mkdir()
    (photos.parent / "train").rename(photos.parent / "parts" / "train")
    (photos.parent / "parts" / "test").symlink_to(photos.parent / "parts" / "train")
    split = opened(photos.parent / "parts", (csv,), (captures,), test=0.4)
    assert {str(sample).partition("/")[0] for sample in split.test} == {"test"}


def test_what_was_captured_without_the_image_is_told_and_left_out(photos: Path) -> None:
    folder = photos.parent / "captures"
    put(folder, [captured(RED[7], keeps_image=False), captured(RED[8], keeps_image=False)])
    put(folder, [captured(RED[8])], days=1)
    csv = written(photos.parent, row(RED[7], "red"), row(RED[8], "red"))
    split = opened(photos, (csv,), (folder,))
    assert name(RED[8]) in labels_of(split)
    assert split.captures is not None
    assert (split.captures.without_image, split.captures.labelled) == (1, 1)
    assert "1 were captured without the image" in str(split.captures)


def test_a_label_of_captured_images_alone_is_told(
    photos: Path, captures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    csv = written(photos.parent, row(RED[6], "grean"), row(RED[7], "grean"))
    assert "grean" in opened(photos, (csv,), (captures,)).labels
    assert "the label 'grean' is that of 2 rows of captured images" in caplog.text
    assert "'green' may be meant" in caplog.text


def test_a_label_that_no_image_has_is_refused_of_a_photograph_by_its_content(
    photos: Path, captures: Path
) -> None:
    csv = written(photos.parent, row(RED[6], "red"), row(RED[1], "grean"))
    with pytest.raises(DataInvalid, match=r"c\.csv: line 3: no image of .* 'grean'; 'green' may be meant"):
        opened(photos, (csv,), (captures,))
    of_both = written(photos.parent, row(RED[1], "blue"), row(RED[6], "blue"))
    labels = labels_of(opened(photos, (of_both,), (captures,)))
    assert (labels["red/1.png"], labels[name(RED[6])]) == ("blue", "blue")


def test_labels_of_captures_that_are_gone_are_warned_of_where_they_are_many(
    photos: Path, captures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = [row(RED[1], "red"), *(row(image, "red") for image in RED[5:]), row(GREEN[6], "green")]
    gone = [row(picture("blue", (20, 20 + n)), "red") for n in range(2)]
    left_out = row(picture("blue", (50, 50)), "", "leave out")
    opened(photos, (written(photos.parent, *there, gone[0], left_out),), (captures,))
    assert "in no capture" not in caplog.text
    opened(photos, (written(photos.parent, *there, *gone),))
    assert "in no capture" not in caplog.text
    opened(photos, (written(photos.parent, *there, *gone),), (captures,))
    assert "2 of 11 images that were given labels by their content are in no capture" in caplog.text


def test_evaluation_takes_what_has_a_label_and_hands_out_the_rest_where_asked(
    photos: Path, captures: Path
) -> None:
    csv, cache = written(photos.parent, row(RED[6], "red"), row(RED[7], "", "leave out")), photos.parent
    places = (str(captures),)
    held = open_heldout(str(photos), cache, ("green", "red"), (csv,), places)
    assert (len(held.samples), held.unlabelled, held.captures and held.captures.labelled) == (11, (), 1)
    held = open_heldout(str(photos), cache, ("green", "red"), (csv,), places, unlabelled=True)
    rest = {name(image) for images in PICTURES.values() for image in images[5:]}
    assert {str(sample) for sample in held.unlabelled} == rest - {name(RED[6]), name(RED[7])}
    assert {sample.label for sample in held.unlabelled} == {""}


def test_captures_of_a_bucket_are_copied_and_forgotten_with_it(bucket: Bucket, photos: Path) -> None:
    uri = f"{bucket.uri}/captures"
    first = put(uri, [captured(RED[6])])
    put(uri, [captured(RED[7])], days=1)
    csv = written(photos.parent, row(RED[6], "red"), row(RED[7], "red"))

    def names() -> set[str]:
        split = open_source(
            str(photos), (csv,), captures=(uri,), val_fraction=0.3, seed=0, cache_dir=photos.parent / "cache"
        )
        return {label for label in labels_of(split) if label.startswith("sha256/")}

    assert names() == {name(RED[6]), name(RED[7])}
    bucket.delete(f"captures/{first}")
    assert names() == {name(RED[7])}
    assert [file.stem for file in (photos.parent / "cache").rglob("*.png")] == [digest(RED[7])]


def test_what_holds_no_captures_or_damaged_ones_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"--data .*photos: there are no captures .* the first --data are"):
        opened(photos, (), (photos,))
    put(tmp_path / "forged", [dataclasses.replace(captured(RED[0]), sha256="../../away")])
    csv = written(photos.parent, row(RED[9], "red"))
    split = opened(photos, (csv,), (tmp_path / "forged",))
    assert split.captures is not None
    assert split.captures.labelled == 0
    with pytest.raises(DataInvalid, match=r"'\.\./\.\./away' has another sha256"):
        open_heldout(str(photos), tmp_path, ("red",), (), (str(tmp_path / "forged"),), unlabelled=True)


def test_without_pyarrow_a_line_says_what_to_install(
    photos: Path, captures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fovea.capture.files.is_installed", lambda name: False)
    with pytest.raises(SettingsInvalid, match=r"pip install 'fovea-vision\[capture\]'"):
        opened(photos, (), (captures,))
