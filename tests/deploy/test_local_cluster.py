"""What the overlay local-cpu starts works together, as processes of this machine rather than pods."""

import subprocess
import sys
from pathlib import Path

import pyarrow.dataset
import pytest

from fovea.client import Client
from tests.deploy.compositions import COMPOSITIONS
from tests.deploy.manifests import render
from tests.servers import ROOT, clean_environment, started_server

(LOCAL,) = [composition for composition in COMPOSITIONS if composition.name == "local-cpu"]
FASTER = {"FOVEA_TRAIN_EPOCHS": "1", "FOVEA_TRAIN_NUM_STEPS": "20", "FOVEA_TRAIN_PUBLISH_ANYWAY": "true"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_digits_are_trained_served_and_scored(tmp_path: Path) -> None:
    places = _places(tmp_path)
    with started_server(places["FOVEA_SERVE_MODELS"], "--wait-for-model") as server:
        server.wait_for("waiting for a version to be published")
        _run("trainer", "train", places | FASTER, tmp_path)
        digit = Path(places["FOVEA_SERVE_MODELS"], "1", "golden", "00.png")
        with Client(server.target) as client:
            assert client.classify(digit).label in "0123456789"
    _run("scorer", "run", places | {"FOVEA_SCORE_RUN_ID": "tonight"}, tmp_path)
    rows = pyarrow.dataset.dataset(Path(places["FOVEA_SCORE_OUTPUT"], "runs", "tonight", "data"))
    held_out = list(Path(places["FOVEA_SCORE_SOURCE"]).rglob("*.png"))
    assert rows.count_rows() == len(held_out) > 300


def _places(folder: Path) -> dict[str, str]:
    """What params.env says, with the volumes as folders."""
    (params,) = [
        one
        for one in render(LOCAL).of_kind("ConfigMap")
        if one["metadata"]["name"].startswith("fovea-params")
    ]
    volumes = ("/data", "/models")
    return {
        name: f"{folder}{value}" if value.startswith(volumes) else value
        for name, value in params["data"].items()
    }


def _run(program: str, command: str, variables: dict[str, str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", program, command],
        cwd=folder,
        env=clean_environment() | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
