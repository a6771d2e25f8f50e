"""Folders of real photographs for tests: cuttings of the two that scikit-learn ships, a temple and a flower.

They come as photographs do: several formats, sizes, colour modes and camera orientations.
"""

from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("flower", "temple")


def make_photos(folder: Path, per_class: int, seed: int = 0) -> dict[Path, str]:
    """Writes `folder/LABEL/NNN.EXT`; returns path -> label."""
    generator = np.random.default_rng(seed)
    from sklearn.datasets import load_sample_images  # takes a second to import

    temple, flower = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    labels = {}
    for label, photo in (("flower", flower), ("temple", temple)):
        (folder / label).mkdir(parents=True)
        for index in range(per_class):
            labels[_save(_cutting(photo, generator), folder / label / f"{index:03d}", index)] = label
    return labels


def _cutting(photo: Image.Image, generator: np.random.Generator) -> Image.Image:
    width, height = (int(v) for v in generator.integers(150, 400, 2))
    left = int(generator.integers(0, photo.width - width))
    top = int(generator.integers(0, photo.height - height))
    return photo.crop((left, top, left + width, top + height))


def _save(photo: Image.Image, stem: Path, index: int) -> Path:
    kinds = ["png", "jpg", "exif.jpg", "grey.jpg", "alpha.png", "palette.png", "cmyk.jpg", "webp"]
    kind = kinds[index % len(kinds)]
    path = stem.with_name(f"{stem.name}.{kind}")
    exif = Image.Exif()
    if kind == "exif.jpg":
        exif[0x0112] = 6
        photo = photo.transpose(Image.Transpose.ROTATE_90)
    modes = {"grey.jpg": "L", "alpha.png": "RGBA", "palette.png": "P", "cmyk.jpg": "CMYK"}
    photo.convert(modes.get(kind, "RGB")).save(path, exif=exif)
    return path
