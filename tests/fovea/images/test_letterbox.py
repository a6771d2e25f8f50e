"""Images that are padded: Pillow's own `ImageOps.pad` is what they are compared with."""

from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, ValidationError

from fovea.images import preprocess
from fovea.images.preprocess import Pixels, crop_image, decode_image, open_image
from fovea.images.spec import PAD_COLOUR, PreprocessSpec
from tests.fovea.images.turned import STORED
from tests.odd_images import collection, saved

SIDE = 48
PAD = PreprocessSpec(size=SIDE, resize=SIDE, fit="pad")


def noise(width: int, height: int) -> Image.Image:
    chance = np.random.default_rng(width * 10_000 + height)
    coarse = Image.fromarray(chance.integers(0, 256, (5, 5, 3), np.uint8)).resize((width, height))
    fine = chance.integers(0, 40, (height, width, 3), np.uint8)
    return Image.fromarray(np.asarray(coarse) // 2 + fine)


def padded(image: Image.Image) -> Pixels:
    whole = ImageOps.pad(image, (SIDE, SIDE), Image.Resampling.BILINEAR, color=PAD_COLOUR)
    return np.asarray(whole)


def bars(width: int, height: int) -> Any:
    """bool [SIDE, SIDE], by hand: where an upright image of that size leaves the padding to be seen."""
    longer = max(width, height)
    across, down = (max(1, round(side / longer * SIDE)) for side in (width, height))
    left, top = round((SIDE - across) * 0.5), round((SIDE - down) * 0.5)
    there = np.ones((SIDE, SIDE), bool)
    there[top : top + down, left : left + across] = False
    return there


def test_padded_image_is_what_pillow_makes_of_it() -> None:
    for size in ((200, 100), (101, 100), (97, 13), (60, 60), (48, 31), (20, 9), (3, 2), (2, 1), (1, 1)):
        assert np.array_equal(decode_image(saved(noise(*size), "PNG"), PAD), padded(noise(*size))), size
    for size in ((100, 200), (13, 97), (31, 48), (2, 3)):  # in which Pillow's order of the axes depends
        crop, expected = decode_image(saved(noise(*size), "PNG"), PAD), padded(noise(*size))
        assert np.abs(crop.astype(int) - expected).max() <= 1, size
        assert (crop[bars(*size)] == PAD_COLOUR).all(), size


@pytest.mark.parametrize("size", [(1, 5_000), (5_000, 1), (2, 900), (3_000, 7)])
def test_however_long_an_image_is_a_pixel_of_it_is_seen(size: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG"):
        crop = decode_image(saved(Image.new("RGB", size, (250, 10, 20)), kind), PAD)
        assert (crop[bars(*size)] == PAD_COLOUR).all(), kind
        assert (np.abs(crop[~bars(*size)].astype(int) - (250, 10, 20)) <= 3).all(), kind
        assert (~bars(*size)).sum() == SIDE, kind


def test_turned_image_is_padded_upright() -> None:
    for width, height in ((90, 41), (41, 90), (90, 90)):
        upright = noise(width, height)
        expected = padded(upright).astype(int)
        for orientation, undo in STORED.items():
            stored = upright if undo is None else upright.transpose(undo)
            exif = Image.Exif()
            exif[0x0112] = orientation
            for kind in ("PNG", "TIFF"):
                crop = decode_image(saved(stored, kind, exif=exif), PAD)
                case = (width, height, orientation, kind)
                assert (crop[bars(width, height)] == PAD_COLOUR).all(), case
                assert np.abs(crop - expected).max() <= 1, case  # which axis comes first differs


def test_reduced_jpeg_keeps_its_proportions() -> None:
    for size in ((1_601, 718), (1_601, 1_003), (1_003, 1_601), (2_000, 333)):
        exif = Image.Exif()
        exif[0x0112] = 6
        for options in ({}, {"exif": exif}):
            data = saved(noise(*size), "JPEG", quality=95, **options)
            shown = size[::-1] if options else size
            crops = [decode_image(data, PAD.model_copy(update={"draft": draft})) for draft in (True, False)]
            assert all((crop[bars(*shown)] == PAD_COLOUR).all() for crop in crops), size
            assert not any((crop[~bars(*shown)] == PAD_COLOUR).all(1).any() for crop in crops), size
            assert np.abs(crops[0].astype(int) - crops[1]).mean() < 3, size
            assert not np.array_equal(crops[0], crops[1]), size  # it was reduced


def test_jpeg_is_reduced_as_far_as_its_longer_side_allows() -> None:
    image = open_image(saved(noise(2_000, 333), "JPEG"))
    crop_image(image, PAD)
    assert image.file.size == (250, 42)  # an eighth; for a crop of the centre it would be a half


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_every_format_is_padded_alike_with_the_extension_and_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = collection()
    before = {name: decode_image(data, PAD) for name, data in files.items() if name in ("jpeg", "gif", "png")}
    monkeypatch.setattr(preprocess, "_extension", None)
    for name, crop in before.items():
        assert np.array_equal(decode_image(files[name], PAD), crop), name
        assert (crop[bars(32, 24)] == PAD_COLOUR).all(), name


def test_another_colour_is_what_the_specification_says() -> None:
    black = PreprocessSpec(size=8, resize=8, fit="pad", pad_colour=(1, 2, 3))
    crop = decode_image(saved(Image.new("RGB", (20, 10), "white"), "PNG"), black)
    assert (crop[:2] == (1, 2, 3)).all()
    assert (crop[2:6] == 255).all()
    assert "padded with #010203" in str(black)


def test_specification_of_a_crop_reads_and_is_written_as_ever() -> None:
    spec = PreprocessSpec(size=224, resize=256)
    written = '{"format":1,"size":224,"resize":256,"interpolation":"bilinear","draft":true}'
    assert spec.model_dump_json() == written
    assert spec.digest == "07423555a42a080f1668774f9ffacbbee5621214d4cd45a80cc490074560ffec"
    assert PreprocessSpec.model_validate_json(written) == spec
    assert spec.fit == "crop"


def test_specification_of_padding_is_refused_by_who_does_not_know_it() -> None:
    assert PreprocessSpec.model_validate_json(PAD.model_dump_json()) == PAD
    assert PAD.digest != PreprocessSpec(size=SIDE, resize=SIDE).digest

    class Older(BaseModel):
        model_config = ConfigDict(extra="forbid")
        format: Literal[1] = 1
        size: int
        resize: int
        interpolation: str
        draft: bool

    with pytest.raises(ValidationError, match="format"):
        Older.model_validate_json(PAD.model_dump_json())


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": 1, "fit": "pad"},
        {"format": 2},
        {"format": 3},
        {"fit": "stretch"},
        {"fit": "pad", "pad_colour": (0, 0, 256)},
        {"fit": "pad", "resize": 50},
    ],
)
def test_specification_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PreprocessSpec(**{"size": SIDE, "resize": SIDE, **wrong})
