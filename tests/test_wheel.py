"""What `pip install fovea` gives a caller: the client and what is shared, and nothing named `server`."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(place.glob("*.whl"))


def test_the_wheel_holds_fovea_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"fovea"}
    assert "fovea/v1/classify_pb2.py" in names
    assert "fovea/py.typed" in names


def test_the_client_works_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = "import fovea.client, sys; print(fovea.client.__file__, 'torch' in sys.modules)"
    # -P and another working directory keep the checkout itself out of the import path.
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    file, has_torch = ended.stdout.split()
    assert Path(file).is_relative_to(tmp_path)
    assert has_torch == "False"
