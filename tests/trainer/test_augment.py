import torch

from trainer.augment import Augmentation, augment, random_maps

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
    assert len(maps.flatten(1).unique(dim=0)) == 64


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
