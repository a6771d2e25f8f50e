"""The same crops, to the bit, by the oldest Pillow that is allowed and by the newest."""

import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from fovea.images import preprocess
from fovea.images.preprocess import centre
from fovea.images.spec import Interpolation
from tests.fovea import crop_digests

ROOT = Path(__file__).parents[3]
SAME_EVERYWHERE = "aaa7bbbcbc17c5ab7ac817c6881737ffc0d6d9fa04a8e312d29743c0d4481463"
"""sha256 of the lines of `crop_digests`; with it goes `fovea.images.formats.REVISION`."""


@pytest.mark.parametrize("resizes", ["the extension", "Pillow"])
def test_crops_have_the_bits_that_they_always_had(resizes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if resizes == "Pillow":
        monkeypatch.setattr(preprocess, "_extension", None)
    elif not preprocess.is_built():
        pytest.skip("the extension was not built here")
    assert hashlib.sha256("\n".join(crop_digests.digests()).encode()).hexdigest() == SAME_EVERYWHERE


def test_rows_that_are_cut_off_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1_000, 90, 3), np.uint8)
    shapes = [Image.fromarray(noise[:height]) for height in (131, 500, 1_000)]
    asked: list[tuple[int, int, Interpolation]] = [
        (48, 54, "bilinear"),
        (80, 97, "bicubic"),
        (224, 256, "lanczos"),
    ]
    cut = [centre(image, *how) for image in shapes for how in asked]
    monkeypatch.setattr(preprocess, "WORTH_CUTTING", 0)
    whole = [centre(image, *how) for image in shapes for how in asked]
    assert all(map(np.array_equal, cut, whole))


@pytest.mark.slow
def test_crops_are_the_same_by_the_oldest_pillow_and_by_the_newest(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["images"]
    (allowed,) = (name for name in extra if name.startswith("pillow"))
    oldest = allowed.replace(">=", "==")
    expected = list(crop_digests.digests())
    for wanted in (oldest, "pillow"):
        version, digests = digests_by(wanted, tmp_path / wanted)
        assert digests == 2 * expected, f"Pillow {version} crops otherwise than {PIL.__version__}"


def digests_by(pillow: str, folder: Path) -> tuple[str, list[str]]:
    """Pillow's version, and its crops' digests, by the extension and by itself, in another interpreter."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder), pillow], check=True, capture_output=True)
    code = (
        "from fovea.images import preprocess; from tests.fovea.crop_digests import *\n"
        "print(PIL.__version__, *digests(), sep='\\n')\n"
        "preprocess._extension = None; print(*digests(), sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    version, *lines = run.stdout.splitlines()
    assert Path(folder, f"pillow-{version}.dist-info").is_dir(), "another Pillow was imported"
    return version, lines
