"""Which copies of pictures the audit finds, which it only thinks it finds, and how long it takes.

    python -m benchmarks.duplicates --photographs FOLDER

Each photograph (by default scikit-learn's two and their cuttings) is changed in the ways that data sets are,
and looked for among all of them; so is each third digit of `--data digits`. What is found among the
originals, and among their cuttings, is named: those are different pictures, or copies that the folder holds.
The time is that of one thread; `python -m benchmarks.many_duplicates` has that of real sets.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from fovea.images.preprocess import Pixels, decode_image
from fovea.images.spec import PreprocessSpec
from trainer.images.digits import SIDE
from trainer.images.field import Field, Pictures
from trainer.images.hashes import PARTS, Index, View, close_pairs, comparisons, hash_pictures, join_hashes
from trainer.images.near_duplicates import LEAST_SPREAD, find_near_duplicates

Change = Callable[[Image.Image], bytes]


class Shot(NamedTuple):
    name: str
    image: Image.Image
    label: str


PHOTOGRAPHS: Final = PreprocessSpec(size=224, resize=256)
DIGITS: Final = PreprocessSpec(size=24, resize=24)
TIMED: Final = 100_000
HASHED: Final = 2000


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.duplicates", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--photographs", type=Path, help="a folder of different ones, JPEG or PNG")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, pictures, spec, flip in (
        ("photographs", photographs(options.photographs), PHOTOGRAPHS, True),
        ("digits", digits()[::3], DIGITS, False),
    ):
        known = [picture for picture in pictures if is_known(picture.image, spec)]
        print(f"{len(known)} {name} of {len(pictures)} have something to be known by")
        for kind, share in recall(known, spec, flip):
            print(f"  {share:7.1%}  found of: {kind}")
    for name, pictures, spec in (
        ("photographs and cuttings", with_cuttings(photographs(options.photographs)), PHOTOGRAPHS),
        ("digits", digits(), DIGITS),
    ):
        for flip in (False, True):
            pairs = found_among(pictures, spec, flip)
            print(f"{len(pairs)} pairs among {len(pictures)} {name}, {'' if flip else 'not '}mirrored")
            for pair in pairs:
                print(f"  {pair}")
    print(f"{seconds_to_hash():.1f} s to hash {TIMED:,} pictures of 256 x 256 pixels and see their sharpness")
    print(f"{seconds_to_search():.1f} s to search {TIMED:,} hashes in all ways")


def photographs(folder: Path | None) -> list[Shot]:
    if folder is None:
        images = [Image.fromarray(pixels) for pixels in load_sample_images().images]
        return with_cuttings([Shot(f"scikit-learn {n}", image, str(n)) for n, image in enumerate(images)])
    files = sorted(file for file in folder.iterdir() if file.suffix in {".jpg", ".jpeg", ".png"})
    return [Shot(file.stem, Image.open(file).convert("RGB"), file.stem) for file in files]


def with_cuttings(pictures: list[Shot]) -> list[Shot]:
    """Beside each large one six of a half of its shorter side, from its corners and edges."""
    cuttings = list(pictures)
    for name, image, label in pictures:
        side = min(image.size) // 2
        lefts = (0, (image.width - side) // 2, image.width - side) if side >= 200 else ()
        for top in (0, image.height - side):
            for left in lefts:
                cutting = image.crop((left, top, left + side, top + side))
                cuttings.append(Shot(f"{name} at {left}, {top}", cutting, label))
    return cuttings


def digits() -> list[Shot]:
    given = load_digits()
    images = [Image.fromarray((image * (255 / 16)).round().astype(np.uint8)) for image in given.images]
    large = [image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB") for image in images]
    return [Shot(str(n), image, str(given.target[n])) for n, image in enumerate(large)]


def encoded(image: Image.Image, kind: str = "JPEG", **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 92} | how if kind == "JPEG" else how))
    return file.getvalue()


def scaled(image: Image.Image, across: float, down: float) -> Image.Image:
    size = (max(8, round(image.width * across)), max(8, round(image.height * down)))
    return image.resize(size, Image.Resampling.LANCZOS)


def cropped(image: Image.Image, share: float, left: float, top: float) -> Image.Image:
    """`left` and `top` are shares of what is cut off."""
    width, height = round(image.width * share), round(image.height * share)
    x, y = round((image.width - width) * left), round((image.height - height) * top)
    return image.crop((x, y, x + width, y + height))


def turned(image: Image.Image, degrees: int) -> Image.Image:
    """Clockwise."""
    return image.rotate(-degrees, expand=True)


def mirrored(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


CHANGES: Final[dict[str, Change]] = {
    "half as large": lambda image: encoded(scaled(image, 0.5, 0.5)),
    "5 % wider": lambda image: encoded(scaled(image, 1.05, 1)),
    "JPEG of quality 75": lambda image: encoded(image, quality=75),
    "JPEG of quality 30": lambda image: encoded(image, quality=30),
    "WebP of quality 50": lambda image: encoded(image, "WEBP", quality=50),
    "a tenth brighter": lambda image: encoded(
        image.point([min(255, round(v * 1.1)) for v in range(256)] * 3)
    ),
    "95 % of the sides, about the middle": lambda image: encoded(cropped(image, 0.95, 0.5, 0.5)),
    "95 % of the sides, from a corner": lambda image: encoded(cropped(image, 0.95, 0, 0)),
    "90 % of the sides, about the middle": lambda image: encoded(cropped(image, 0.9, 0.5, 0.5)),
    "90 % of the sides, anywhere": lambda image: encoded(cropped(image, 0.9, 0.3, 0.8)),
    "90 % of the sides, from a corner": lambda image: encoded(cropped(image, 0.9, 0, 0)),
    "80 % of the sides, anywhere": lambda image: encoded(cropped(image, 0.8, 0.3, 0.8)),
    "without a tenth at the left": lambda image: encoded(
        image.crop((image.width // 10, 0, image.width, image.height))
    ),
    "turned by 90°": lambda image: encoded(turned(image, 90)),
    "turned by 180°": lambda image: encoded(turned(image, 180)),
    "turned by 270°": lambda image: encoded(turned(image, 270)),
    "turned by 90°, half as large, quality 30": lambda image: encoded(
        scaled(turned(image, 90), 0.5, 0.5), quality=30
    ),
    "turned by 90°, 95 % of the sides, about the middle": lambda image: encoded(
        cropped(turned(image, 90), 0.95, 0.5, 0.5)
    ),
    "turned by 90°, 95 % of the sides, from a corner": lambda image: encoded(
        cropped(turned(image, 90), 0.95, 0, 0)
    ),
    "mirrored": lambda image: encoded(mirrored(image)),
    "mirrored and turned by 90°": lambda image: encoded(turned(mirrored(image), 90)),
    "mirrored, 95 % of the sides": lambda image: encoded(cropped(mirrored(image), 0.95, 0.7, 0.2)),
}


def decode(image: Image.Image, spec: PreprocessSpec) -> Pixels:
    return decode_image(encoded(image, "BMP"), spec)


def is_known(image: Image.Image, spec: PreprocessSpec) -> bool:
    light = Image.fromarray(decode(image, spec)).convert("L").resize((32, 32))
    return float(np.asarray(light, np.float32).std()) >= LEAST_SPREAD


def recall(pictures: list[Shot], spec: PreprocessSpec, flip: bool) -> Iterator[tuple[str, float]]:
    """Kind of change -> the share of the copies that are found."""
    crops, count = [decode(shot.image, spec) for shot in pictures], len(pictures)
    for kind, change in CHANGES.items():
        if flip or "mirrored" not in kind:
            copies = [decode_image(change(shot.image), spec) for shot in pictures]
            found = find(np.stack([*crops, *copies]), [*pictures, *pictures], spec, flip)
            yield kind, sum(second - first == count for first, second in found) / count


def find(crops: Pixels, shots: list[Shot], spec: PreprocessSpec, flip: bool) -> list[tuple[int, int]]:
    pictures = Pictures([Field(crops, np.arange(len(crops)))])
    targets = np.unique([shot.label for shot in shots], return_inverse=True)[1]
    return [(p.first, p.second) for p in find_near_duplicates(pictures, targets, spec.size, flip)]


def found_among(pictures: list[Shot], spec: PreprocessSpec, flip: bool) -> list[str]:
    crops = np.stack([decode(shot.image, spec) for shot in pictures])
    found = find(crops, pictures, spec, flip)
    return [f"{pictures[first].name} and {pictures[second].name}" for first, second in found]


def seconds_to_hash() -> float:
    crops = np.random.default_rng(0).integers(0, 256, (HASHED, 256, 256, 3), np.uint8)
    pictures, started = Pictures([Field(crops, np.arange(HASHED))]), time.process_time()
    for start in range(0, HASHED, 100):
        small = pictures.at(np.arange(start, start + 100), 32).float()
        hash_pictures(small.mean(1).numpy(), mirrored=True)
    pictures.fields[0].sharpness()
    return (time.process_time() - started) * TIMED / HASHED


def seconds_to_search() -> float:
    """Hashes of noise whose power falls with the frequency, as that of photographs does."""
    chance = np.random.default_rng(0)
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32))) + 1 / 32
    batches = []
    for _ in range(TIMED // 1000):
        spectrum = np.fft.fft2(chance.normal(size=(1000, 32, 32))) / frequencies**1.5
        batches.append(hash_pictures(np.fft.ifft2(spectrum).real.astype(np.float32), mirrored=True))
    hashes, started = join_hashes(batches), time.process_time()
    for part in PARTS:
        index = Index.of(hashes[View(part)])
        for comparison in comparisons(mirrored=True):
            if comparison.other == part:
                for _ in close_pairs(hashes[comparison.view], index):
                    pass
    return time.process_time() - started


if __name__ == "__main__":
    main()
