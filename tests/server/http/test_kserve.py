"""KServe's own REST client is answered. It takes no protobuf of today: its environment is its own."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.environments import environment
from tests.server.oip_calls import IMAGES, crops_of
from tests.servers import ServerProcess, clean_environment

CALLER = Path(__file__).with_name("kserve_caller.py")


@pytest.mark.slow
def test_kserves_rest_client_gets_its_answers(server: ServerProcess, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", "kserve==0.21.0")
    image, crops = tmp_path / "green", tmp_path / "crops.npy"
    image.write_bytes(IMAGES[1])
    np.save(crops, crops_of(IMAGES))
    called = subprocess.run(
        [python, "-P", CALLER, f"http://{server.http_target}", image, crops],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert called.returncode == 0, called.stderr
    outcome: dict[str, Any] = json.loads(called.stdout)
    assert outcome["live"]
    assert outcome["ready"]
    assert outcome["models ready"] == [True, False]
    for way in ("in JSON", "binary", "binary both ways"):
        outputs = outcome[way]["outputs"]
        assert outputs["label"] == ["BYTES", [1, 1], ["green"]], way
        assert outputs["probabilities"][:2] == ["FP32", [1, 3]]
        assert outputs == outcome["in JSON"]["outputs"]
    assert (outcome["binary"]["id"], outcome["binary"]["model"]) == ("call-7", "tiny")
    for way in ("pixels", "pixels in JSON"):
        label, best = outcome[way]["outputs"]["label"], outcome[way]["outputs"]["logits"]
        assert label == ["BYTES", [3, 1], ["red", "green", "blue"]], way
        assert [each.split(":")[1:] for each in best[2]] == [["0", "red"], ["1", "green"], ["2", "blue"]]
    assert outcome["refused"].startswith("there is no model 'cats'; there are 'tiny', which takes 'image'")
