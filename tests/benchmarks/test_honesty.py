"""What the benchmark does to images, and what it reads of MNIST."""

import gzip
from pathlib import Path

import numpy as np

from benchmarks.honesty import CORRUPTIONS, _read_mnist


def test_corruptions_change_pixels_and_nothing_else() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), np.uint8)
    for kind, corrupt in CORRUPTIONS.items():
        before = crops.copy()
        changed = corrupt(crops, np.random.default_rng(1))
        assert np.array_equal(crops, before), kind
        assert (changed.shape, changed.dtype) == (crops.shape, crops.dtype), kind
        assert np.array_equal(changed, crops) == (kind == "as they are"), kind


def test_a_row_of_mnist_is_its_pixels_and_then_its_label(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "mnist_5k.csv.gz", "wt") as file:
        file.write(",".join([*(str(float(value % 256)) for value in range(784)), "7.0"]))
    ((label, pixels),) = _read_mnist(tmp_path)
    assert label == "7"
    assert pixels.dtype == np.uint8
    assert pixels.shape == (28, 28)
    assert pixels[0, 27] == 27
    assert pixels[27, 27] == 783 % 256
