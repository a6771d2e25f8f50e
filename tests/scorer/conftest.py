from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 12 good images, 000.png to 011.bmp."""
    folder = tmp_path / "photos"
    tiny.fill_folder(folder, 12)
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"
