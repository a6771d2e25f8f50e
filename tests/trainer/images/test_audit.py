"""What is wrong or unusual with the images is found before training, has its effect, and is said."""

import io
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.errors import DataInvalid
from fovea.images.preprocess import Pixels, decode_image, open_image
from fovea.images.spec import PreprocessSpec
from tests.tiny import picture
from trainer.images.audit import BadFile, UsableFile, audit
from trainer.images.data import DataSet, read_images
from trainer.images.sources import Sample, open_source
from trainer.images.traits import TRAITS, traits_of

SPEC = PreprocessSpec(size=16, resize=18)
WHOLE = PreprocessSpec(size=18, resize=18)
NOT_UTF8 = os.fsdecode(b"caf\xe9.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images of each colour to train on and four held out, all different."""
    for number, (part, count) in enumerate((("train", 12), ("val", 4))):
        for label in ("red", "blue"):
            (tmp_path / "data" / part / label).mkdir(parents=True)
            for index in range(count):
                file = tmp_path / "data" / part / label / f"{index}.png"
                file.write_bytes(picture(label, (30 + 20 * number + index, 25)))
    return tmp_path / "data"


def _read(data: Path) -> DataSet:
    split = open_source(str(data), val_fraction=0.2, seed=0, cache_dir=data.parent)
    return read_images(split, str(data), SPEC, data.parent, max_bad_fraction=0.05, threads=2)


def _pixels_of(data: DataSet, name: str) -> Pixels:
    (index,) = (i for i, sample in enumerate(data.train.samples) if sample.path.name == name)
    pixels: Pixels = data.train.pixels(np.array([index]))[0]
    return pixels


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _sixteen_bit_png(colour: tuple[int, int, int]) -> bytes:
    """Pillow writes none with colours."""
    header = struct.pack(">IIBBBBB", 20, 20, 16, 2, 0, 0, 0)
    row = b"\0" + 20 * struct.pack(">HHH", *(257 * value for value in colour))
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(20 * row)), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_image_that_is_held_out_is_not_trained_on(folder: Path) -> None:
    shutil.copy(folder / "val" / "red" / "1.png", folder / "train" / "red" / "copy.png")
    data = _read(folder)
    assert (len(data.train), len(data.heldout)) == (24, 8)
    assert "copy.png" not in {sample.path.name for sample in data.train.samples}
    (leaked,) = data.audit().leaked
    assert leaked == BadFile("train/red/copy.png", "the same content is held out as val/red/1.png")
    assert any(line.startswith("images left out of training") for line in data.findings())


def test_what_is_tested_on_is_neither_held_out_nor_trained_on(folder: Path) -> None:
    (folder / "test" / "red").mkdir(parents=True)
    for index in range(3):
        (folder / "test" / "red" / f"{index}.png").write_bytes(picture("red", (80 + index, 25)))
    before = _read(folder)
    assert (before.told, before.audit().not_measured) == (before.test, ["blue"])
    assert "classes with no image to test on: 1; 'blue'" in [*before.findings()]
    shutil.copy(folder / "test" / "red" / "0.png", folder / "train" / "red" / "copy.png")
    shutil.copy(folder / "test" / "red" / "0.png", folder / "val" / "red" / "copy.png")
    shutil.copy(folder / "test" / "red" / "1.png", folder / "val" / "blue" / "1.png")
    data = _read(folder)
    assert data.test is not None
    assert data.digest != before.digest
    assert (len(data.train), len(data.heldout), len(data.test)) == (24, 7, 3)
    assert data.audit().leaked == [
        BadFile("train/red/copy.png", "the same content is in test as test/red/0.png"),
        BadFile("val/blue/1.png", "the same content is in test as test/red/1.png"),
        BadFile("val/red/copy.png", "the same content is in test as test/red/0.png"),
    ]
    assert data.audit().classes["red"] == {"train": 12, "heldout": 4, "test": 3}
    assert [len(group) for group in data.audit().conflicts] == [2]
    assert "images left out of training for a later part has them too: 3" in next(data.findings())


def test_a_part_of_which_nothing_is_left_is_named(folder: Path) -> None:
    shutil.copytree(folder / "val", folder / "test")
    with pytest.raises(DataInvalid, match="no image is left held out: each of 8 is damaged, or in the part"):
        _read(folder)


def test_copies_within_a_part_are_kept_and_named(folder: Path) -> None:
    shutil.copy(folder / "train" / "red" / "1.png", folder / "train" / "red" / "copy.png")
    data = _read(folder)
    assert len(data.train) == 25
    (names,) = data.audit().duplicates
    assert [Path(name).name for name in names] == ["1.png", "copy.png"]
    assert data.audit().leaked == []


def test_one_content_under_two_labels_is_named_with_both(folder: Path) -> None:
    shutil.copy(folder / "train" / "red" / "1.png", folder / "train" / "blue" / "copy.png")
    data = _read(folder)
    (group,) = data.audit().conflicts
    assert {entry.split(":")[0] for entry in group} == {"red", "blue"}
    assert any("under different labels: 1; " in line for line in data.findings())


def test_class_of_one_image_is_trained_on_and_said_to_be_unmeasured(folder: Path) -> None:
    (folder / "train" / "green").mkdir()
    (folder / "train" / "green" / "only.png").write_bytes(picture("green"))
    data = _read(folder)
    assert data.labels == ("blue", "green", "red")
    assert data.audit().classes["green"] == {"train": 1, "heldout": 0}
    assert data.audit().tiny == {"green": 1}
    assert data.audit().not_heldout == ["green"]
    assert [line for line in data.findings() if "'green'" in line] == [
        "classes with fewer than 10 images to train on: 1; 'green' has 1",
        "classes with no image held out: 1; 'green'",
    ]


@pytest.mark.parametrize("spoilt_by", ["damage", "leak"])
def test_class_that_is_left_nothing_to_train_on_is_refused_by_name(folder: Path, spoilt_by: str) -> None:
    (folder / "train" / "green").mkdir()
    spoilt = b"broken" if spoilt_by == "damage" else (folder / "val" / "red" / "0.png").read_bytes()
    (folder / "train" / "green" / "only.png").write_bytes(spoilt)
    with pytest.raises(DataInvalid, match="class 'green' has no image left to train on"):
        _read(folder)


def test_nothing_is_said_of_clean_images(folder: Path) -> None:
    assert list(_read(folder).findings()) == []


def test_name_that_is_not_utf8_is_read_and_shown_escaped(folder: Path) -> None:
    (folder / "train" / "red" / NOT_UTF8).write_bytes(picture("red", (99, 25)))
    (folder / "train" / "red" / os.fsdecode(b"\xff.jpg")).write_bytes(b"broken")
    data = _read(folder)
    assert np.array_equal(_pixels_of(data, NOT_UTF8), decode_image(picture("red", (99, 25)), WHOLE))
    (bad,) = data.audit().quarantined
    assert bad.path.endswith(r"train/red/\xff.jpg")


def test_control_characters_of_a_name_are_shown_escaped(folder: Path) -> None:
    (folder / "train" / "red" / "\x1b[31m\n.png").write_bytes(b"broken")
    (bad,) = _read(folder).audit().quarantined
    assert bad.path == r"train/red/\x1b[31m\n.png"


def test_what_lies_in_hidden_folders_is_no_image_of_the_class(folder: Path) -> None:
    hidden = folder / "train" / "red" / ".ipynb_checkpoints"
    hidden.mkdir()
    shutil.copy(folder / "train" / "red" / "1.png", hidden / "1-checkpoint.png")
    assert len(_read(folder).train) == 24


def test_photo_of_12_megapixels_is_turned_upright(folder: Path) -> None:
    """Held sideways: red above blue is stored as red beside blue."""
    upright = Image.new("RGB", (3000, 4000), "red")
    upright.paste("blue", (0, 2000, 3000, 4000))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = _encoded(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)
    (folder / "train" / "red" / "photo.jpg").write_bytes(stored)
    data = _read(folder)
    pixels = _pixels_of(data, "photo.jpg").astype(int)
    assert (pixels[:8, :, 0] > 200).all()
    assert (pixels[10:, :, 2] > 200).all()
    assert data.audit().traits == {"rotated": 1}


@pytest.mark.parametrize(
    ("stored", "traits"),
    [
        (_encoded(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", quality=95), ("cmyk", "one colour")),
        (_sixteen_bit_png((250, 10, 10)), ("16-bit", "one colour")),
        (_encoded(Image.new("RGBA", (20, 20), (250, 10, 10, 255)), "PNG"), ("alpha", "one colour")),
    ],
    ids=["CMYK", "16-bit", "alpha"],
)
def test_unusual_file_is_read_as_its_colours_and_counted(
    folder: Path, stored: bytes, traits: tuple[str, ...]
) -> None:
    (folder / "train" / "red" / "unusual.img.png").write_bytes(stored)
    data = _read(folder)
    red, green, blue = _pixels_of(data, "unusual.img.png").mean((0, 1))
    assert red > 200 > 60 > max(green, blue)
    assert data.audit().traits == dict.fromkeys(traits, 1)


def test_sixteen_bit_grey_is_scaled_and_not_clipped(folder: Path) -> None:
    values = np.full((20, 20), 100 * 257, np.uint16)
    (folder / "train" / "red" / "deep.png").write_bytes(_encoded(Image.fromarray(values), "PNG"))
    data = _read(folder)
    assert set(_pixels_of(data, "deep.png").ravel().tolist()) == {100}
    assert data.audit().traits == {"16-bit": 1, "grey": 1, "one colour": 1}


def test_images_that_may_not_be_meant_so_are_counted_named_and_said(folder: Path) -> None:
    """Twelve bits that a file gives as sixteen, and floats of no stated range."""
    ramp = np.linspace(0, 4095, 400).reshape(20, 20)
    for name, image in {
        "deep.tif": Image.fromarray(ramp.astype(np.uint16)),
        "float.tif": Image.fromarray((ramp / 4095).astype(np.float32)),
    }.items():
        (folder / "train" / "red" / name).write_bytes(_encoded(image, "TIFF"))
    (folder / "val" / "red" / "plain.png").write_bytes(_encoded(Image.new("RGB", (20, 20), "red"), "PNG"))
    data = _read(folder)
    doubtful = {
        "range guessed": ["red/float.tif"],
        "nearly black": ["red/deep.tif"],
        "one colour": ["red/plain.png"],
        "blurred": ["red/deep.tif", "red/float.tif"],
    }
    record = data.audit()
    assert {trait: [Path(name).parts[-2:] for name in names] for trait, names in record.doubtful.items()} == {
        trait: [Path(name).parts for name in names] for trait, names in doubtful.items()
    }
    assert doubtful.keys() <= record.traits.keys() <= TRAITS.keys()
    said = "\n".join(data.findings())
    for words in (
        "nearly black (is their white what the file says?): 1; the first is train/red/deep.tif",
        "of one colour",
    ):
        assert words in said


def test_every_trait_has_words_for_the_report() -> None:
    files = [
        _encoded(Image.new("L", (8, 8)), "PNG"),
        _encoded(Image.new("I;16", (8, 8)), "TIFF"),
        _encoded(Image.new("F", (8, 8)), "TIFF"),
        _encoded(Image.new("P", (8, 8)), "GIF", transparency=0),
        _encoded(Image.new("CMYK", (8, 8)), "TIFF"),
    ]
    seen = {trait for file in files for trait in traits_of(open_image(file))}
    assert seen == {"grey", "16-bit", "alpha", "cmyk", "range guessed"}
    assert seen <= TRAITS.keys()


def test_three_thousand_classes_are_audited_as_three() -> None:
    train = [UsableFile(Sample(Path(f"{n}.png"), f"class {n % 3000}"), str(n)) for n in range(9000)]
    heldout = [UsableFile(Sample(Path(f"h{n}.png"), f"class {n}"), str(n)) for n in range(3000)]
    result = audit(train, heldout)
    assert len(result.leaked) == 3000
    assert len(result.tiny) == len(result.classes) == 3000
    assert next(result.findings()).startswith("images left out of training for they are held out too: 3000")
