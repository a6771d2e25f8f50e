"""The extension that resizes gives Pillow's bits, is built where it can be, and is done without where not."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fovea.errors import ImageInvalid
from fovea.images import preprocess
from fovea.images.formats import image_path
from fovea.images.preprocess import _by_extension, _by_pillow, _Square, _square, centre, decode_image
from fovea.images.spec import Interpolation, PreprocessSpec
from tests import odd_images, tiny

ROOT = Path(__file__).parents[3]
needs_extension = pytest.mark.skipif(not preprocess.is_built(), reason="the extension was not built here")
FILTERS: tuple[Interpolation, ...] = ("bilinear", "bicubic", "lanczos")


class Case(NamedTuple):
    image: Image.Image
    size: int
    square: _Square
    interpolation: Interpolation

    @property
    def name(self) -> str:
        return f"{self.image.size} -> {self.size}, {self.square}, {self.interpolation}"


def test_the_extension_was_built_where_there_is_a_compiler() -> None:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("there is no C compiler here: Pillow resizes")
    assert preprocess.is_built(), "fovea/images/_resize was not built: .venv/bin/pip install -e ."


@needs_extension
def test_the_extension_gives_the_bits_of_pillow() -> None:
    assert_equal(cases(np.random.default_rng(1), 300))


@needs_extension
@pytest.mark.slow
def test_the_extension_gives_the_bits_of_pillow_ten_thousand_times() -> None:
    assert_equal(cases(np.random.default_rng(2), 10_000))


def assert_equal(series: Iterator[Case]) -> None:
    for case in series:
        expected = _by_pillow(*case)
        assert np.array_equal(by_extension(case, plain=False), expected), case.name
        assert np.array_equal(by_extension(case, plain=True), expected), f"{case.name}, without vectors"


def by_extension(case: Case, *, plain: bool) -> npt.NDArray[np.uint8]:
    assert preprocess._extension is not None
    pixels = np.full((case.size, case.size, 3), 99, np.uint8)
    how = (case.size, FILTERS.index(case.interpolation), plain)
    preprocess._extension.centre(
        *case.image.__arrow_c_array__(), pixels, *case.image.size, *case.square, *how
    )
    return pixels


def cases(chance: np.random.Generator, count: int) -> Iterator[Case]:
    """Tiny, tall, wide and ordinary images; of each second one any box in any of its rows."""
    ranges = ((1, 12), (1, 12), (1, 40), (1, 40), (300, 2_500), (60, 600), (200, 900))
    for number in range(count):
        width, height = (int(chance.integers(*ranges[(number + turn) % 7])) for turn in (0, 3))
        samples = chance.integers(0, 256, (height, width, 3), np.uint8)
        if number % 5 == 0:
            samples = np.where(samples < 128, np.uint8(0), np.uint8(255))  # sums leave 8 bits
        image = Image.fromarray(samples)
        interpolation = FILTERS[number % 3]
        shorter = int(chance.integers(1, 300))
        size = int(chance.integers(1, shorter + 1))
        square = _square(image, size, shorter, interpolation)
        yield Case(image, size, _any(image, chance) if number % 2 else square, interpolation)


def _any(image: Image.Image, chance: np.random.Generator) -> _Square:
    first, last = sorted(int(edge) for edge in chance.choice(image.height + 1, 2, replace=False))
    across, down = (np.sort(chance.random(2, np.float32)) * length for length in (image.width, last - first))
    edges = [float(np.float32(edge)) for edge in (across[0], down[0], across[1], down[1])]
    return _Square(first, last, (edges[0], edges[1], edges[2], edges[3]))


@needs_extension
def test_the_extension_is_what_resizes(monkeypatch: pytest.MonkeyPatch) -> None:
    photograph = odd_images.saved(odd_images.PICTURE.resize((4_000, 3_000)), "JPEG")
    expected = decode_image(photograph, PreprocessSpec(size=224, resize=256))
    monkeypatch.setattr(Image.Image, "resize", None)
    assert np.array_equal(decode_image(photograph, PreprocessSpec(size=224, resize=256)), expected)


@needs_extension
def test_images_in_several_blocks_of_memory_are_left_to_pillow() -> None:
    large = Image.fromarray(np.random.default_rng(3).integers(0, 256, (1_500, 1_800, 3), np.uint8))
    square = _square(large, 64, 72, "bicubic")
    assert _by_extension(large, 64, square, "bicubic") is None
    assert np.array_equal(centre(large, 64, 72, "bicubic"), _by_pillow(large, 64, square, "bicubic"))


@needs_extension
def test_no_argument_reaches_memory_that_is_not_the_images() -> None:
    assert preprocess._extension is not None
    image, other = Image.new("RGB", (40, 30)), Image.new("L", (40, 30))
    pixels, box = np.empty((8, 8, 3), np.uint8), (0.0, 0.0, 40.0, 30.0)
    right = (*image.__arrow_c_array__(), pixels, 40, 30, 0, 30, box, 8, 0, False)
    assert preprocess._extension.centre(*right) is None
    wrong: dict[str, tuple[int, Any]] = {
        "another mode": (1, other.__arrow_c_array__()[1]),
        "a small result": (2, np.empty((8, 8, 2), np.uint8)),
        "a large result": (2, np.empty((9, 8, 3), np.uint8)),
        "too wide": (3, 41),
        "too high": (4, 31),
        "no width": (3, 0),
        "rows before": (5, -1),
        "rows behind": (6, 31),
        "no rows": (5, 30),
        "a box before": (7, (-0.5, 0.0, 40.0, 30.0)),
        "a box above": (7, (0.0, -0.5, 40.0, 30.0)),
        "a box behind": (7, (0.0, 0.0, 40.5, 30.0)),
        "a box below": (7, (0.0, 0.0, 40.0, 30.5)),
        "a box inside out": (7, (9.0, 0.0, 8.0, 30.0)),
        "a box that is none": (7, (float("nan"), 0.0, 40.0, 30.0)),
        "no size": (8, 0),
        "a size beyond all": (8, 2**31 - 1),
        "no filter": (9, 3),
        "no filter either": (9, -1),
    }
    for name, (place, value) in wrong.items():
        assert refusal((*right[:place], value, *right[place + 1 :])) is ValueError, name
    assert refusal((*right[:2], bytes(192), *right[3:])) is TypeError
    assert refusal((image, *right[1:])) is ValueError


def refusal(arguments: tuple[Any, ...]) -> type[Exception] | None:
    assert preprocess._extension is not None
    try:
        preprocess._extension.centre(*arguments)
    except Exception as error:
        return type(error)
    return None


@needs_extension
@pytest.mark.skipif(sys.platform != "linux", reason="memory is forbidden by mprotect")
def test_no_byte_is_read_or_written_beyond_the_image_and_the_result() -> None:
    command = [sys.executable, "-m", "tests.fovea.images.guarded_resize"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (0, "")


@needs_extension
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_files_decode_to_the_same_and_are_refused_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = odd_images.collection()
    files = {**whole, **{f"half of {name}": data[: len(data) // 2] for name, data in whole.items()}}
    extension = {name: outcome(data) for name, data in files.items()}
    monkeypatch.setattr(preprocess, "_extension", None)
    pillow = {name: outcome(data) for name, data in files.items()}
    assert {name for name in files if extension[name] != pillow[name]} == set()
    assert len({one for one in pillow.values() if isinstance(one, str)}) > 3


def outcome(data: bytes) -> bytes | str:
    """The crop, or why there is none."""
    try:
        return decode_image(data, PreprocessSpec(size=40, resize=45, interpolation="bicubic")).tobytes()
    except ImageInvalid as refusal:
        return f"{refusal.reason}: {refusal}"


def test_without_the_extension_pillow_resizes_and_the_image_path_is_the_same() -> None:
    picture = tiny.picture("green", (300, 200), "JPEG")
    code = (
        "import sys; sys.modules['fovea.images._resize'] = None\n"
        "from fovea.images import formats, preprocess, spec\n"
        "how = spec.PreprocessSpec(size=32, resize=36)\n"
        "crop = preprocess.decode_image(sys.stdin.buffer.read(), how)\n"
        "print(preprocess.is_built(), formats.image_path(), crop.tobytes().hex())"
    )
    ended = subprocess.run([sys.executable, "-c", code], input=picture, capture_output=True, check=True)
    crop = decode_image(picture, PreprocessSpec(size=32, resize=36))
    assert ended.stdout.decode().split() == f"False {image_path()} {crop.tobytes().hex()}".split()
