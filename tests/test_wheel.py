"""What `pip install fovea-vision` gives a caller: the client, and nothing named `server`."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fovea.images import preprocess
from tests import tiny
from tests.environments import environment
from tests.servers import ServerProcess, clean_environment, running_server

ROOT = Path(__file__).parents[1]
CALLER = ROOT / "tests" / "wheel_client.py"
INSTALLED_BYTES = 30_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    # From the sdist: setuptools would put in what earlier builds left in the checkout.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(place.glob("*.whl"))


@pytest.fixture(scope="module")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    with running_server(tiny_models) as running:
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "green.png"
    path.write_bytes(tiny.picture("green"))
    return path


def test_the_wheel_holds_fovea_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"fovea"}
    assert "fovea/v1/classify_pb2.py" in names
    assert "fovea/py.typed" in names
    assert ("fovea/images/_resize.abi3.so" in names) == preprocess.is_built()
    assert wheel.name.startswith("fovea_vision-")


@pytest.mark.slow
def test_a_wheel_is_built_where_the_compiler_fails_and_has_no_extension(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "CC": "false"})
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert "fovea/images/preprocess.py" in names
    assert not [name for name in names if name.endswith(".so")]


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


@pytest.mark.slow
def test_the_wheel_brings_grpc_and_protobuf_and_no_more(
    wheel: Path, server: ServerProcess, image: Path, tmp_path: Path
) -> None:
    python = environment(tmp_path / "venv", str(wheel))
    installed = {
        path.name.split("-")[0] for path in tmp_path.glob("venv/lib/python3*/site-packages/*.dist-info")
    }
    assert installed == {
        *("fovea_vision", "googleapis_common_protos", "grpcio", "grpcio_status", "protobuf"),
        "typing_extensions",
    }
    assert sum(path.stat().st_size for path in tmp_path.glob("venv/lib/**/*")) < INSTALLED_BYTES
    assert_calls(python, server, image, extra_is_missing=True)
    lines = run(python, "-m", "fovea.client", image, "--target", server.target, "--top-k", "1").splitlines()
    assert lines[1].split()[:2] == [str(image), "green"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "protobuf", ["", "protobuf<6", "protobuf<7"], ids=["all", "protobuf 5", "protobuf 6"]
)
def test_the_client_works_beside_the_oldest_that_it_allows(
    wheel: Path, server: ServerProcess, image: Path, tmp_path: Path, protobuf: str
) -> None:
    choice = [protobuf] if protobuf else ["--resolution", "lowest"]
    assert_calls(environment(tmp_path / "venv", str(wheel), *choice), server, image, extra_is_missing=True)


@pytest.mark.slow
def test_the_client_works_in_one_process_with_those_of_triton_and_kserve(
    wheel: Path, server: ServerProcess, image: Path, tmp_path: Path
) -> None:
    """With one at a time: they exclude each other, as both hold the Open Inference Protocol's messages."""
    python = environment(tmp_path / "venv", str(wheel), "tritonclient[grpc]==2.73.0", "kserve==0.21.0")
    for other in ("tritonclient.grpc", "kserve"):
        assert_calls(python, server, image, other)


def assert_calls(
    python: Path, server: ServerProcess, image: Path, *modules: str, extra_is_missing: bool = False
) -> None:
    answer: dict[str, Any] = json.loads(run(python, "-W", "error", CALLER, server.target, image, *modules))
    assert answer["label"] == answer["awaited"] == "green"
    assert answer["many"] == ["green", "green"]
    assert answer["labels"] == list(tiny.LABELS)
    assert answer["no image"].startswith("CallFailed the bytes are not an image")
    assert answer["no image"].endswith(" image")
    if extra_is_missing:
        assert answer["no picture"].startswith("ExtraMissing ")
        assert answer["no picture"].endswith(
            "a picture or an array needs: pip install 'fovea-vision[images]'"
        )


def run(python: Path, *arguments: str | Path) -> str:
    result = subprocess.run(
        [python, "-P", *arguments],
        env=clean_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
