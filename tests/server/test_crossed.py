"""How far a reader walks who follows one call."""

import subprocess
import sys
from typing import Final

import pytest

from tests.servers import ROOT

MOST: Final = 12


@pytest.mark.slow  # a server is started with every step of it looked at
def test_one_classify_does_not_cross_more_files_than_it_did() -> None:
    command = [sys.executable, "-m", "benchmarks.crossed", "classify"]
    *files, total = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert total == f"{len(files)} files, in 2 processes"
    assert {"server/calls/service.py", "server/queue/batcher.py", "fovea/model/classifier.py"} <= set(files)
    assert len(files) <= MOST
