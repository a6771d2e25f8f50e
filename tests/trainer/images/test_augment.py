from typing import Any

import torch

from trainer.images.augment import Augmentation, augment, random_maps

CPU = torch.device("cpu")


def test_ramp_is_cropped_where_the_map_says() -> None:
    ramp = torch.arange(200, dtype=torch.uint8).repeat(200, 1)[None, :, :, None].repeat(16, 1, 1, 3)
    how = Augmentation(size=50, min_crop=0.5, max_rotation=0, flip=False)
    torch.manual_seed(0)
    out = augment(ramp, how)
    torch.manual_seed(0)
    maps = random_maps(16, how, CPU)
    left = (maps[:, 0, 2] - maps[:, 0, 0] + 1) * 100  # the crop's left edge in pixels
    step = maps[:, 0, 0] * 200 / 50
    expected = left[:, None] + step[:, None] * (torch.arange(50) + 0.5) - 0.5
    assert torch.allclose(out[:, 25, 1:-1, 0], expected[:, 1:-1], atol=0.05)


def test_whole_crops_without_rotation_keep_every_pixel() -> None:
    pixels = torch.randint(0, 256, (3, 24, 24, 3), dtype=torch.uint8)
    out = augment(pixels, Augmentation(size=24, min_crop=1, max_rotation=0, flip=False))
    assert torch.allclose(out, pixels.float(), atol=1e-2)


def test_constant_image_stays_constant() -> None:
    pixels = torch.full((8, 40, 40, 3), 77, dtype=torch.uint8)
    out = augment(pixels, Augmentation(size=32, min_crop=0.3, max_rotation=15, flip=True))
    assert out.shape == (8, 32, 32, 3)
    assert torch.allclose(out, torch.tensor(77.0), atol=1e-2)


def test_images_of_a_batch_get_maps_of_their_own() -> None:
    maps = random_maps(64, Augmentation(32, 0.3, 10, flip=True), CPU)
    assert len({tuple(map_.flatten().tolist()) for map_ in maps}) == 64


def test_crops_keep_at_least_the_least_area_and_stay_inside() -> None:
    maps = random_maps(1000, Augmentation(32, 0.5, 0, flip=False), CPU)
    width, height = maps[:, 0, 0], maps[:, 1, 1]
    assert (width * height).min() > 0.5 * 0.74  # a square has no room for a wide crop of all its area
    assert ((maps[:, 0, 2].abs() + width) <= 1 + 1e-6).all()
    assert ((maps[:, 1, 2].abs() + height) <= 1 + 1e-6).all()


def test_flip_mirrors_half_of_the_images_and_no_flip_none() -> None:
    mirrored = random_maps(2000, Augmentation(32, 0.5, 0, flip=True), CPU)[:, 0, 0] < 0
    assert 0.4 < mirrored.float().mean() < 0.6
    assert not (random_maps(2000, Augmentation(32, 0.5, 0, flip=False), CPU)[:, 0, 0] < 0).any()


def test_tilted_crop_s_corners_lie_where_its_homography_says() -> None:
    """A ramp in x and y tells from its values where each output pixel was read."""
    across = torch.arange(256, dtype=torch.uint8).repeat(256, 1)
    ramps = torch.stack([across, across.T, across], 2)[None].repeat(16, 1, 1, 1)
    how = Augmentation(size=64, min_crop=0.5, max_rotation=10, flip=True, max_warp=0.2)
    torch.manual_seed(0)
    out = augment(ramps, how)
    torch.manual_seed(0)
    maps = random_maps(16, how, CPU).double()
    inside = 0
    for row, column in ((0, 0), (0, 63), (63, 0), (63, 63), (20, 40)):
        corner = torch.tensor([(2 * column + 1) / 64 - 1, (2 * row + 1) / 64 - 1, 1.0], dtype=torch.float64)
        x, y, depth = (maps @ corner).unbind(1)
        read = (
            torch.stack([x / depth, y / depth], 1) * 128 + 127.5
        )  # pixel i's centre is at (2 i + 1) / 256 - 1
        visible = ((read > 0) & (read < 255)).all(1)
        inside += int(visible.sum())
        assert torch.allclose(out[visible, row, column, :2].double(), read[visible], atol=0.05)
    assert inside > 40


def test_tilt_sees_opposite_sides_at_different_sizes_and_the_middles_inside() -> None:
    how = Augmentation(size=32, min_crop=1, max_rotation=0, flip=False, max_warp=0.3)
    maps = random_maps(500, how, CPU)
    assert maps[:, 2, :2].abs().max() <= 0.3
    assert (maps[:, 2, :2].abs().amax(0) > 0.25).all()
    for middle in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
        x, y, depth = (maps @ torch.tensor([*middle, 1.0])).unbind(1)
        assert torch.maximum((x / depth).abs(), (y / depth).abs()).max() <= 1 + 1e-5


def test_no_tilt_and_no_light_draw_nothing() -> None:
    pixels = torch.randint(0, 256, (3, 24, 24, 3), dtype=torch.uint8)
    results = []
    extras: tuple[dict[str, Any], ...] = ({}, {"max_warp": 0.0, "max_lighting": 0.0})
    for extra in extras:
        torch.manual_seed(0)
        results.append((augment(pixels, Augmentation(24, 0.5, 10, True, **extra)), torch.rand(1)))
    assert all(torch.equal(left, right) for left, right in zip(*results, strict=True))


def test_light_changes_each_image_s_brightness_and_contrast_and_stays_in_range() -> None:
    pixels = torch.randint(0, 256, (64, 24, 24, 3), dtype=torch.uint8)
    out = augment(pixels, Augmentation(24, 1, 0, flip=False, max_lighting=0.4))
    means, spreads = out.mean((1, 2, 3)), out.std((1, 2, 3))
    assert out.min() >= 0
    assert out.max() <= 255
    assert means.max() / means.min() > 1.5
    assert spreads.max() / spreads.min() > 1.5


def test_light_of_a_grey_image_keeps_it_grey() -> None:
    out = augment(torch.full((8, 16, 16, 3), 100, dtype=torch.uint8), Augmentation(16, 1, 0, False, 0, 0.2))
    assert torch.allclose(out, out[:, :1, :1, :1].expand_as(out))
    assert out.min() >= 80
    assert out.max() <= 120


def test_autocast_leaves_coordinates_exact() -> None:
    ramp = torch.arange(200, dtype=torch.uint8).repeat(200, 1)[None, :, :, None].repeat(4, 1, 1, 3)
    how = Augmentation(size=50, min_crop=0.5, max_rotation=5, flip=False, max_warp=0.1)
    results = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results.append(augment(ramp, how))
    assert torch.equal(*results)


def test_some_of_a_batchs_images_are_changed_as_with_all_of_them() -> None:
    """So that ranks, each with its rows, see what one would."""
    for pad_colour in (None, (1, 2, 3)):
        augmentation = Augmentation(9, 0.5, 20, True, 0.2, 0.3, pad_colour=pad_colour)
        pixels = torch.randint(0, 256, (5, 12, 12, 3), dtype=torch.uint8)
        torch.manual_seed(1)
        whole, state = augment(pixels, augmentation), torch.get_rng_state()
        for rows in (slice(0, 2), slice(2, 5)):
            torch.manual_seed(1)
            some = augment(pixels[rows], augmentation, 5, rows)
            assert torch.allclose(some, whole[rows], atol=1e-4)
            assert torch.equal(torch.get_rng_state(), state)
