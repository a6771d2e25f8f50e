"""Pictures that were saved anew are found, others are not, and what follows is done and said."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec
from trainer.images import candidates, hashes, survey
from trainer.images.data import DataSet, read_images
from trainer.images.digits import SIDE
from trainer.images.every_image import read_every_image
from trainer.images.field import Field, Pictures
from trainer.images.hashes import WHOLE, Index, View, close_pairs, hash_pictures
from trainer.images.near_duplicates import Pair, find_near_duplicates
from trainer.images.orientation import UPRIGHT, orientations
from trainer.images.sources import list_every_image, open_source
from trainer.images.survey import Survey, blurred

SPEC = PreprocessSpec(size=64, resize=72)
WIDTH, HEIGHT = 150, 110


def scene(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Large shapes and small ones, as a photograph has: no two are alike."""
    chance, pixels = np.random.default_rng(seed), np.full((height, width, 3), 128.0)
    for cells, strength, channels in ((4, 60, 3), (9, 35, 3), (30, 20, 1)):
        coarse = (chance.normal(0, strength, (cells, cells, channels)) + 128).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(np.broadcast_to(coarse, (cells, cells, 3)).copy())
        pixels += np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)) - 128.0
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "smaller": lambda image: encoded(image.resize((75, 55), Image.Resampling.LANCZOS)),
    "JPEG": lambda image: encoded(image, "JPEG", quality=50),
    "brighter": lambda image: encoded(image.point(lambda value: min(255, value * 1.1))),
    "without an edge": lambda image: encoded(image.crop((10, 0, WIDTH, HEIGHT))),
    "cropped all around": lambda image: encoded(image.crop((5, 4, WIDTH - 5, HEIGHT - 4))),
    "mirrored": lambda image: encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "turned to the right": lambda image: encoded(image.transpose(Image.Transpose.ROTATE_270)),
    "turned by 180°": lambda image: encoded(image.transpose(Image.Transpose.ROTATE_180)),
    "turned to the left": lambda image: encoded(image.transpose(Image.Transpose.ROTATE_90)),
    "mirrored and turned to the right": lambda image: encoded(image.transpose(Image.Transpose.TRANSVERSE)),
    "mirrored and turned by 180°": lambda image: encoded(image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
    "mirrored and turned to the left": lambda image: encoded(image.transpose(Image.Transpose.TRANSPOSE)),
}
ORIENTATION = {str(orientation): orientation for orientation in orientations(mirrored=True)}


def found_among(files: list[bytes], *, flip: bool = True, spec: PreprocessSpec = SPEC) -> list[Pair]:
    """Pairs, where the files are of two classes in turn."""
    crops = np.stack([decode_image(file, spec) for file in files])
    targets = np.arange(len(files)) % 2
    field = Field.of(crops, np.arange(len(crops)), spec, spec)
    return find_near_duplicates(Pictures([field]), targets, spec.size, flip)


@pytest.mark.parametrize("change", CHANGES)
def test_picture_that_was_saved_anew_is_found_and_no_other(change: str) -> None:
    scenes = [scene(seed) for seed in range(12)]
    files = [encoded(image) for image in scenes] + [CHANGES[change](scenes[number]) for number in (4, 9)]
    how = ORIENTATION.get(change, UPRIGHT)
    assert found_among(files) == [Pair(4, 12, how), Pair(9, 13, how)]
    assert found_among(files[::-1]) == [Pair(0, 4, how.inverse), Pair(1, 9, how.inverse)]


def test_mirrored_picture_is_another_where_mirroring_changes_what_is_meant() -> None:
    originals = [encoded(scene(seed)) for seed in range(6)]
    mirrored = [CHANGES[how](scene(2)) for how in CHANGES if how.startswith("mirrored")]
    for file in mirrored:
        assert found_among([*originals, file], flip=False) == []
    turned = Pair(2, 6, ORIENTATION["turned by 180°"])
    assert found_among([*originals, CHANGES["turned by 180°"](scene(2))], flip=False) == [turned]


def test_picture_between_bars_is_compared_without_them() -> None:
    spec = PreprocessSpec(size=64, resize=64, fit="pad")
    files = [encoded(scene(seed, 200, 60)) for seed in range(8)]
    assert found_among([*files, encoded(scene(4, 100, 30))], spec=spec) == [Pair(4, 8)]


def test_pictures_of_nearly_one_light_are_not_compared() -> None:
    chance = np.random.default_rng(0)
    flat = [(chance.normal(128, 2, (80, 80, 3))).astype(np.uint8) for _ in range(6)]
    assert found_among([encoded(Image.fromarray(pixels)) for pixels in (*flat, *flat)]) == []


def test_same_picture_in_other_colours_is_another() -> None:
    turned = [Image.fromarray(np.asarray(scene(seed))[:, :, ::-1].copy()) for seed in range(3)]
    assert found_among([encoded(scene(seed)) for seed in range(6)] + [*map(encoded, turned)]) == []


def test_no_two_digits_are_taken_for_one() -> None:
    """Every third of them, as `--data digits` has them."""
    from sklearn.datasets import load_digits  # takes a second to import, in each process that collects tests

    digits, spec = load_digits(), PreprocessSpec(size=24, resize=24)
    images = [Image.fromarray((image * (255 / 16)).round().astype(np.uint8)) for image in digits.images[::3]]
    files = [encoded(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), "BMP") for image in images]
    crops = np.stack([decode_image(file, spec) for file in files])
    for count in (len(crops), 20):  # of the fewer none is even worth a closer look
        pictures = Pictures([Field(crops, np.arange(count))])
        assert find_near_duplicates(pictures, digits.target[::3][:count], 24, mirrored=False) == []


def test_hash_is_that_of_imagehash() -> None:
    import imagehash  # takes as long

    grey = [scene(seed).convert("L").resize((32, 32)) for seed in range(20)]
    own = hash_pictures(np.stack([np.asarray(image, np.float32) for image in grey]), mirrored=True)
    for orientation in orientations(mirrored=True):
        turned = [Image.fromarray(orientation.of(torch.tensor(np.asarray(one))).numpy()) for one in grey]
        theirs = [imagehash.phash(image).hash.flatten()[hashes.ORDER] for image in turned]
        assert [f"{value:064b}" for value in own[View(WHOLE, orientation)]] == [
            "".join("01"[bit] for bit in bits) for bits in np.array(theirs, int)
        ]


def test_hash_of_a_part_is_that_of_the_part_of_the_turned_picture() -> None:
    grey = torch.tensor(
        np.stack([np.asarray(scene(seed).convert("L").resize((32, 32))) for seed in range(20)])
    )
    seen = hash_pictures(grey.float().numpy(), mirrored=True)
    for view, hashed in seen.items():
        of_turned = hash_pictures(view.orientation.of(grey).float().numpy(), mirrored=False)[View(view.part)]
        assert np.bitwise_count(hashed ^ of_turned).max() <= 2  # the order of additions differs


def test_orientations_come_to_what_they_do_to_a_picture() -> None:
    picture = torch.arange(16).reshape(4, 4)
    every = orientations(mirrored=True)
    assert len({tuple(one.of(picture).flatten().tolist()) for one in every}) == 8
    for one in every:
        assert one.then(one.inverse) == UPRIGHT
        for other in every:
            assert one.then(other).of(picture).equal(other.of(one.of(picture)))


def test_candidate_has_room_for_each_comparison() -> None:
    assert len(hashes.comparisons(mirrored=True)) <= 1 << candidates.HOW


def test_search_of_many_finds_all_that_differ_in_five_bits() -> None:
    chance = np.random.default_rng(0)
    base = chance.integers(0, 2**64, 3000, np.uint64)
    flips = [chance.permutation(64)[:5] for _ in base]
    changed = np.array([sum(1 << int(bit) for bit in bits) for bits in flips], np.uint64)
    queries = np.bitwise_xor(base, changed)
    found = {
        (int(q), int(b))
        for first, second in close_pairs(queries, Index.of(base))
        for q, b in zip(first, second, strict=True)
    }
    assert found >= {(number, number) for number in range(3000)}


def test_search_of_many_that_are_alike_looks_at_a_few_of_them() -> None:
    alike = np.zeros(5000, np.uint64)
    assert (
        sum(len(first) for first, _ in close_pairs(alike, Index.of(alike))) == 3 * 5000 * hashes.MOST_OF_KEY
    )


def test_of_each_picture_the_nearest_candidates_are_kept() -> None:
    found = np.array([[0, 1, 5, 0], [0, 1, 2, 7], [0, 2, 3, 0], [0, 3, 9, 0], [0, 4, 1, 0], [1, 0, 4, 0]])
    rest = [[0, 1, 2, 7], [0, 2, 3, 0], [1, 0, 4, 0]]
    assert candidates._nearest(found, np.zeros(5, np.int64)).tolist() == [[0, 4, 1, 0], *rest]
    in_two_parts = candidates._nearest(found, np.array([0, 0, 0, 0, 1])).tolist()
    assert in_two_parts == [*rest[:2], [0, 3, 9, 0], [0, 4, 1, 0], rest[2]]


def test_candidates_are_the_nearest_however_often_others_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    chance, split = np.random.default_rng(0), np.arange(40) % 2
    light = np.asarray(scene(0).convert("L").resize((32, 32)), np.float32)
    moved = np.stack([np.roll(light, (k % 4, k % 3), (0, 1)) for k in range(40)])
    hashed = hash_pictures(moved + chance.normal(0, 12, moved.shape).astype(np.float32), mirrored=True)

    def how_near() -> list[tuple[int, int, int]]:
        near = []
        for first, second, how in candidates.find_candidates(hashed, split, mirrored=True).tolist():
            comparison = hashes.comparisons(mirrored=True)[how]
            bits = hashed[comparison.view][first] ^ hashed[View(comparison.other)][second]
            near.append((first, int(split[second]), int(np.bitwise_count(bits))))
        return sorted(near)

    at_once = how_near()
    assert len(at_once) > 200
    monkeypatch.setattr(candidates, "WAITING", 0)
    assert how_near() == at_once


def test_search_of_many_looks_at_some_of_each_part() -> None:
    """Though those of the first part, which are as near, come first."""
    alike, split = np.zeros(5000, np.uint64), np.repeat([0, 1], [4990, 10])
    pairs = list(close_pairs(alike, Index.of(alike, split)))
    assert sum(len(first) for first, _ in pairs) == 3 * 5000 * hashes.MOST_OF_KEY
    assert {int(split[place]) for _, second in pairs for place in second[:20]} == {0, 1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eleven scenes of each class to train on and four held out."""
    for first, part, count in ((0, "train", 11), (50, "val", 4)):
        for offset, label in ((0, "hill"), (100, "lake")):
            (tmp_path / "data" / part / label).mkdir(parents=True)
            for number in range(count):
                image = scene(first + offset + number)
                (tmp_path / "data" / part / label / f"{number}.png").write_bytes(encoded(image))
    return tmp_path / "data"


def read(folder: Path, *, flip: bool = True) -> DataSet:
    split = open_source(str(folder), val_fraction=0.2, seed=0, cache_dir=folder.parent)
    return read_images(split, str(folder), SPEC, folder.parent, max_bad_fraction=0.05, threads=1, flip=flip)


def test_picture_that_is_nearly_held_out_is_not_trained_on(folder: Path) -> None:
    for name in ("copy.jpg", "twice.jpg"):
        (folder / "train" / "hill" / name).write_bytes(CHANGES["JPEG"](scene(52)))
    (folder / "train" / "lake" / "turned.png").write_bytes(CHANGES["mirrored"](scene(152)))
    data = read(folder)
    record = data.audit()
    assert len(data.train) == record.trained_on == 22
    assert [leak.reason for leak in record.nearly_leaked] == [
        "nearly the same picture is held out as val/hill/2.png",
        "nearly the same picture is held out as val/lake/2.png, mirrored",
    ]
    assert {"train/hill/copy.jpg", "val/hill/2.png"} <= record.pictures.keys()
    assert any(
        "a later part has nearly the same picture: 2; train/hill/copy.jpg" in f for f in data.findings()
    )
    assert len(read(folder, flip=False).train) == 23


def test_nearly_the_same_within_a_part_is_kept_and_named_and_under_two_labels_too(folder: Path) -> None:
    (folder / "train" / "hill" / "copy.jpg").write_bytes(CHANGES["JPEG"](scene(3)))
    (folder / "train" / "lake" / "other.jpg").write_bytes(CHANGES["smaller"](scene(3)))
    data = read(folder)
    record = data.audit()
    assert len(data.train) == 24
    assert record.near_duplicates == [("train/hill/3.png", "train/hill/copy.jpg", "train/lake/other.jpg")]
    assert ("hill: train/hill/3.png", "lake: train/lake/other.jpg") in record.near_conflicts
    said = "\n".join(data.findings())
    assert "nearly the same pictures under different labels: 2; hill: train/hill/3.png and lake:" in said
    assert "images of which others are nearly the same" in said


def test_turned_copy_is_left_out_unless_its_label_says_that_it_is_another_picture(folder: Path) -> None:
    for label, how in (("hill", "turned to the right"), ("lake", "turned to the left")):
        (folder / "train" / label / "turned.png").write_bytes(CHANGES[how](scene(52)))
    data = read(folder)
    record = data.audit()
    assert [leak.reason for leak in record.nearly_leaked] == [
        "nearly the same picture is held out as val/hill/2.png, turned to the left"
    ]
    assert record.near_turned == [
        ("hill: train/hill/turned.png", "lake: train/lake/turned.png"),
        ("lake: train/lake/turned.png", "hill: val/hill/2.png"),
    ]
    assert "taken for different pictures: 2; hill: train/hill/turned.png" in "\n".join(data.findings())
    assert not record.near_conflicts
    assert len(data.train) == 23


def test_no_copy_of_a_held_out_picture_is_trained_on_however_many_there_are(folder: Path) -> None:
    for quality in range(50, 90, 4):
        copy = encoded(scene(52), "JPEG", quality=quality)
        (folder / "train" / "hill" / f"copy{quality}.jpg").write_bytes(copy)
    record = read(folder).audit()
    assert record.trained_on == 22
    assert [leak.other for leak in record.nearly_leaked] == ["val/hill/2.png"] * 10


def test_what_is_like_a_copy_alone_is_left_out_for_the_picture_that_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """train ~ train ~ val ~ test, where neighbours alone are alike, and turn."""
    for label in ("hill", "lake"):
        (folder / "test" / label).mkdir(parents=True)
        (folder / "test" / label / "0.png").write_bytes(encoded(scene(70 + len(label) + ord(label[0]))))
    pairs = [(0, 1, True, 0), (1, 22, True, 1), (22, 30, False, 1)]
    chain = Survey(pairs=pairs, sharpness=[1.0] * 32)
    monkeypatch.setattr(survey, "_look", lambda *_: chain)
    assert [(leak.path, leak.reason) for leak in read(folder).audit().nearly_leaked] == [
        ("train/hill/0.png", "nearly the same picture is in test as test/hill/0.png, turned by 180°"),
        (
            "train/hill/1.png",
            "nearly the same picture is in test as test/hill/0.png, mirrored and turned by 180°",
        ),
        ("val/hill/0.png", "nearly the same picture is in test as test/hill/0.png, turned to the right"),
    ]


def test_class_is_not_left_out_for_a_guess(folder: Path) -> None:
    (folder / "train" / "pond").mkdir()
    (folder / "train" / "pond" / "only.jpg").write_bytes(CHANGES["JPEG"](scene(52)))
    data = read(folder)
    assert data.audit().classes["pond"]["train"] == 1
    assert data.audit().near_duplicates == [("train/pond/only.jpg", "val/hill/2.png")]


def test_of_every_image_those_go_together_that_are_nearly_the_same(folder: Path) -> None:
    (folder / "train" / "hill" / "copy.jpg").write_bytes(CHANGES["JPEG"](scene(52)))
    (folder / "train" / "lake" / "turned.png").write_bytes(CHANGES["mirrored"](scene(52)))
    (folder / "train" / "lake" / "same.png").write_bytes(encoded(scene(52)))
    split = list_every_image(str(folder), (), folder.parent)

    def together(flip: bool) -> list[set[str]]:
        data = read_every_image(
            split, "", SPEC, folder.parent, max_bad_fraction=0.0, threads=1, in_training=SPEC, flip=flip
        )
        named: dict[str, set[str]] = {}
        for name, sample in zip(data.together, data.heldout.samples, strict=True):
            named.setdefault(name, set()).add(str(sample))
        return [group for group in named.values() if len(group) > 1]

    group = {"val/hill/2.png", "train/hill/copy.jpg", "train/lake/same.png", "train/lake/turned.png"}
    assert together(flip=True) == [group]
    assert together(flip=False) == [group - {"train/lake/turned.png"}]


def test_what_was_compared_once_is_not_compared_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "train" / "hill" / "copy.jpg").write_bytes(CHANGES["JPEG"](scene(52)))
    first = read(folder).audit()
    monkeypatch.setattr(survey, "_look", None)
    assert read(folder).audit() == first


def test_dull_images_are_counted_named_and_shown(folder: Path) -> None:
    hill = folder / "train" / "hill"
    (hill / "soft.png").write_bytes(
        encoded(scene(900).resize((8, 6)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    )
    white = Image.new("RGB", (90, 90), "white")
    white.paste((0, 90, 0), (44, 44, 48, 48))
    (hill / "white.png").write_bytes(encoded(white))
    (hill / "small.png").write_bytes(encoded(scene(901, 50, 35)))
    data = read(folder)
    record = data.audit()
    assert record.doubtful["nearly white"] == ["train/hill/white.png"]
    assert record.doubtful["small"] == ["train/hill/small.png"]
    assert "train/hill/soft.png" in record.doubtful["blurred"]
    assert {f"train/hill/{name}.png" for name in ("soft", "white", "small")} <= record.pictures.keys()
    assert (
        "images of less than half as many pixels a side as they are resized to: 1; the first is"
        in "\n".join(data.findings())
    )


def test_blurred_is_far_below_the_others_and_nothing_of_few() -> None:
    sharp = [1.0 + number / 100 for number in range(40)]
    assert blurred([*sharp, 0.05, 0.5, 0.0]) == [False] * 40 + [True, False, False]
    assert not any(blurred([1.0] * 10 + [0.001]))
