"""Progressive resizing: which epoch is at which size, in the training as in the range test."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fovea.errors import SettingsInvalid
from tests.trainer.conftest import train_only, train_settings
from tests.trainer.interruptions import assert_a_break_changes_nothing
from trainer.fit.recipe import sizes_of_epochs
from trainer.images.augment import Augmentation, augment
from trainer.network.model import Network, check_size
from trainer.preparation import epoch_sizes, prepare

STEPS_PER_EPOCH = 6
"""48 images in batches of 8"""


def test_epochs_are_divided_in_the_order_of_the_sizes_and_the_last_ones_have_one_more() -> None:
    assert sizes_of_epochs((128, 224), 2) == (128, 224)
    assert sizes_of_epochs((128, 224), 5) == (128, 128, 224, 224, 224)
    assert sizes_of_epochs((96, 128, 224), 5) == (96, 128, 128, 224, 224)
    assert sizes_of_epochs((96, 128, 224), 7) == (96, 96, 128, 128, 224, 224, 224)


def test_range_test_is_at_the_first_size_and_each_epoch_at_its_own(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bool]] = []
    forward = Network.forward

    def watched(network: Network, pixels: Tensor) -> Tensor:
        seen.append((pixels.shape[1], network.training))
        return forward(network, pixels)

    monkeypatch.setattr(Network, "forward", watched)
    options = {"sizes": (24, 32), "size": 32, "resize": 36, "epochs": 3, "num_steps": 4}
    train_only(few_digits, tmp_path, True, **options)
    trained = [size for size, training in seen if training]
    assert trained == [24] * 4 + [24] * STEPS_PER_EPOCH + [32] * 2 * STEPS_PER_EPOCH
    assert seen[0] == (24, False)  # whether the network takes it
    assert {size for size, training in seen[2:] if not training} == {32}


def test_training_goes_on_after_a_break_at_and_after_a_change_of_size(
    few_digits: Path, tmp_path: Path
) -> None:
    for step in (STEPS_PER_EPOCH, STEPS_PER_EPOCH + 2):
        root = tmp_path / str(step)
        root.mkdir()
        assert_a_break_changes_nothing(step, few_digits, root, sizes=(24, 32), epochs=2)


def test_images_of_a_smaller_size_show_as_much_and_are_means_of_pixels() -> None:
    pixels = torch.randint(0, 256, (2, 24, 24, 3), dtype=torch.uint8)
    whole = Augmentation(size=24, min_crop=1, max_rotation=0, flip=False)
    small = augment(pixels, whole.at(12)).permute(0, 3, 1, 2)
    expected = functional.interpolate(
        pixels.permute(0, 3, 1, 2).float(), (12, 12), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(small, expected, rtol=0, atol=1e-2)
    assert whole.at(24) == whole


def test_epochs_that_cannot_be_divided_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    auto, one = r"--sizes 24,32 divide a number of --epochs", r"there is 1, with the frozen ones, and 2 sizes"
    for epochs, said in (("auto", auto), (1, one)):
        settings = train_settings(tmp_path / "no such data", tmp_path, sizes=(24, 32), epochs=epochs)
        with pytest.raises(SettingsInvalid, match=said):
            prepare(settings)
    frozen = train_settings(tmp_path, tmp_path, sizes=(24, 32), epochs=1, weights="imagenet")
    assert epoch_sizes(frozen) == (24, 32)


def test_architecture_that_takes_no_such_images_refuses_the_sizes(few_digits: Path, tmp_path: Path) -> None:
    settings = train_settings(few_digits, tmp_path, sizes=(8, 32), epochs=2, arch="vgg11")
    with pytest.raises(SettingsInvalid, match=r"--sizes 8,32: vgg11 takes no images of 8 pixels"):
        prepare(settings)
    fixed = Network(nn.Sequential(nn.Flatten()), nn.Sequential(nn.Linear(3 * 16 * 16, 2)))
    check_size(fixed, "fixed", 16, "--sizes 16,24")
    with pytest.raises(SettingsInvalid, match=r"--sizes 16,24: fixed takes no images of 24 pixels"):
        check_size(fixed, "fixed", 24, "--sizes 16,24")
