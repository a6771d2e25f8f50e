"""Training on padded images: a random part of the picture between bars, as serving would lay it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fovea.images.preprocess import decode_image
from fovea.images.spec import PAD_COLOUR, PreprocessSpec
from tests.odd_images import saved
from trainer.images.augment import Augmentation, _mirrored_into, augment, pictures
from trainer.images.data import read_images
from trainer.images.sources import open_source

SIDE = 48
RED = (250, 10, 20)
STILL = Augmentation(SIDE, min_crop=1, max_rotation=0, flip=False, pad_colour=PAD_COLOUR)
WILD = replace(STILL, size=40, min_crop=0.3, max_rotation=15, flip=True, max_warp=0.2)
BARS = torch.tensor(PAD_COLOUR).float()


def _padded(*images: Image.Image) -> Tensor:
    """uint8 [n, SIDE, SIDE, 3], as they are decoded."""
    spec = PreprocessSpec(size=SIDE, resize=SIDE, fit="pad")
    return torch.tensor(np.stack([decode_image(saved(image, "PNG"), spec) for image in images]))


def _plain(*sizes: tuple[int, int]) -> Tensor:
    return _padded(*(Image.new("RGB", size, RED) for size in sizes))


def test_picture_is_found_between_its_bars() -> None:
    found = pictures(_plain((96, 48), (30, 90), (50, 50), (1, 900)), PAD_COLOUR)
    third, one = 16 / SIDE, 1 / SIDE
    expected = [[0, 0, 1, 0.5], [0, 0, third, 1], [0, 0, 1, 1], [one, 0, one, 1]]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float32))
    bare = torch.tensor(PAD_COLOUR, dtype=torch.uint8).expand(1, SIDE, SIDE, 3)
    assert pictures(bare, PAD_COLOUR).tolist() == [[0, 0, 1, 1]]


def test_whole_picture_is_what_serving_makes_of_it() -> None:
    chance = np.random.default_rng(0)
    images = [Image.fromarray(chance.integers(0, 256, (h, w, 3), np.uint8)) for h, w in ((24, 48), (48, 20))]
    pixels = _padded(*images)
    assert torch.allclose(augment(pixels, STILL), pixels.float(), atol=1e-2)


def test_random_part_lies_in_the_middle_between_bars_that_no_light_changes_and_nothing_bleeds() -> None:
    torch.manual_seed(0)
    pixels = _plain(*[(96, 40), (40, 96), (70, 70), (900, 9)] * 16)
    for how in (WILD, WILD.at(24), WILD.at(11)):
        out = augment(pixels, how)
        is_bar = (out == BARS).all(3)
        red = (out - torch.tensor(RED).float()).abs().amax(3) < 0.01
        assert (is_bar | red).all()
        for bars in is_bar:
            rows, columns = ~bars.all(1), ~bars.all(0)
            assert torch.equal(~bars, rows[:, None] & columns[None, :])  # one rectangle
            assert torch.equal(rows, rows.flip(0))
            assert torch.equal(columns, columns.flip(0))
            assert rows.all() or columns.all()
    lit = augment(pixels, replace(WILD, max_lighting=0.5))
    assert len({tuple(image[20, 20].tolist()) for image in lit}) > 40
    outside = (lit[0] == BARS).all(2)
    assert outside[0].all()
    assert outside[-1].all()


def test_what_lies_outside_is_mirrored_from_the_picture_and_not_from_the_bars() -> None:
    box = torch.tensor([[0.0, 0.1, 1.0, 0.5]])
    outside = torch.tensor([[-1.2, 0.1], [0.9, 0.7], [0.0, -0.6], [1.0, 0.1], [0.3, 0.2]])
    inside = torch.tensor([[-0.8, 0.1], [0.9, 0.5], [0.0, -0.2], [0.9, 0.1], [0.3, 0.2]])
    assert torch.allclose(_mirrored_into(outside[None, None], box, side=10), inside[None, None], atol=1e-6)


def test_part_keeps_its_proportions_and_shows_what_it_is_of() -> None:
    """A ramp along a wide picture tells from its values which part of it is seen, and how large."""
    ramp = np.repeat(np.linspace(0, 240, 48)[None, :, None], 16, 0).repeat(3, 2).astype(np.uint8)
    pixels = _padded(Image.fromarray(ramp)).repeat(64, 1, 1, 1)
    torch.manual_seed(1)
    out = augment(pixels, replace(STILL, min_crop=0.4))
    for image in out:
        seen = ~(image == BARS).all(2)
        rows, columns = int(seen.any(1).sum()), int(seen.any(0).sum())
        values = image[SIDE // 2, seen.any(0), 0]
        shown = float(values.max() - values.min()) / 240 * 48  # of the picture's 48 columns
        assert shown >= 0.4 * 48 * 0.85
        scale = columns / max(shown, 1)
        assert rows <= 16 * scale * 1.15 + 2
        assert rows >= 16 * scale * 0.35


def test_training_images_and_those_held_out_are_whole(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    for part in ("train", "val"):
        for label in ("a", "b"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(2):
                samples = chance.integers(0, 256, (20 + 30 * number, 40, 3), np.uint8)
                Image.fromarray(samples).save(tmp_path / part / label / f"{number}.png")
    black = Image.new("RGB", (40, 8))
    black.save(tmp_path / "train" / "a" / "black.png")
    spec, larger = (PreprocessSpec(size=size, resize=size, fit="pad") for size in (32, 36))
    split = open_source(str(tmp_path), val_fraction=0.5, seed=0, cache_dir=tmp_path / "cache")
    options: dict[str, Any] = {"max_bad_fraction": 0, "threads": 1, "in_training": larger}
    data = read_images(split, "few", spec, tmp_path / "cache", **options)
    for images, how in ((data.train, larger), (data.heldout, spec)):
        for index, sample in enumerate(images.samples):
            seen = images.pixels(np.array([index]))[0]
            assert np.array_equal(seen, decode_image(sample.path.read_bytes(), how))
    assert data.comparison.traits["nearly black"] == 1
