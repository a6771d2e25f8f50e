"""The commands of docs/scoring.md do their work, one after the other, as a reader would run them."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.buckets import Bucket
from tests.docs.pages import SCORING
from tests.scorer.fake_kubernetes import FakeKubernetes, running
from tests.scorer.runs import ROOT
from tests.servers import running_server

MY_BUCKET = "my-bucket"


@pytest.fixture
def workspace(tmp_path: Path, bucket: Bucket) -> Path:
    """A folder with `photos`, `models/pets`, `wanted.csv` and `job.yaml`, and a bucket with the first two."""
    tiny.fill_folder(tmp_path / "photos", 12)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"bad")
    tiny.publish_bundle(tmp_path / "models" / "pets", tmp_path / "staging")
    (tmp_path / "wanted.csv").write_text("key\n000.png\n")
    (template,) = SCORING.fences("yaml")
    (tmp_path / "job.yaml").write_text(template)
    for folder in ("photos", "models/pets"):
        bucket.put_folder(folder, tmp_path / folder)
    return tmp_path


def run(command: str, workspace: Path) -> None:
    done = subprocess.run(
        [sys.executable, *shlex.split(command)[1:]],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(workspace / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.slow
def test_every_command_of_the_page_works(
    workspace: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(FakeKubernetes()) as fake, running_server(workspace / "models" / "pets") as server:
        fake.gate.set()
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(workspace / "kubeconfig")))
        for command in SCORING.commands:
            here = command.replace(MY_BUCKET, bucket.name).replace("localhost:8001", server.target)
            if " drive " in command:  # else all rows would be carried, and no Job be needed
                bucket.put("photos/new.png", (workspace / "photos" / "000.png").read_bytes())
            # One image in thirteen is bad on purpose.
            run(here.replace("--max-bad-fraction 0.01", "--max-bad-fraction 0.1"), workspace)
        assert list(fake.jobs) == ["night-7-work"]
    assert json.loads((workspace / "scores" / "latest.json").read_text())["run"] == "night-6"
