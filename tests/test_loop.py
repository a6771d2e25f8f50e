"""`make loop`, with fewer digits: from production back to a better model, and no worse one gets in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fovea.model import versions
from fovea.stores.storage import open_folder
from tests.rooms import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_loop_is_closed_and_a_bad_candidate_stays_out(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "demo.loop", "quick"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    home = tmp_path / ".demo" / "loop"
    summary = json.loads((home / "summary.json").read_text())
    captured = sum(summary["captured"].values())
    assert 0 < captured <= summary["production"]
    assert 0 < summary["labelled_otherwise"] < summary["labelled"] <= captured
    audit = json.loads((home / "runs" / "again" / "audit.json").read_text())
    assert audit["captures"]["labelled"] == summary["labelled"]
    assert summary["accuracy_again"] > summary["accuracy_first"]
    assert "What the corrections bought" in (home / "runs" / "again" / "report.html").read_text()
    assert summary["unlabelled"]["images"] == summary["labelled"]
    assert summary["served_right"] / summary["compared"]["images"] == summary["accuracy_again"]
    assert summary["refused"].startswith("it is worse than version 2: its accuracy is worse: ")
    models = open_folder(str(home / "models" / "digits"))
    assert (versions.latest(models), versions.published(models), summary["latest"]) == (2, [1, 2], 2)
    assert "What each step bought" in ended.stdout
