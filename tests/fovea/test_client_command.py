"""`python -m fovea.client`, where it needs no server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def refusal(*arguments: str) -> tuple[int, str]:
    """The exit code and the one line on stderr."""
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    ended = subprocess.run(
        [sys.executable, "-m", "fovea.client", "cat.jpg", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = ended.stderr.splitlines()
    return ended.returncode, line


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("--top-k", "5000000000"), "less than or equal to 4294967295"),
        (("--model-version", str(2**63)), "less than or equal to 9223372036854775807"),
        (("--target", ""), "HOST:PORT"),
        (("--target", "http://localhost:8001"), "HOST:PORT"),
    ],
)
def test_a_value_that_cannot_be_sent_is_refused(wrong: tuple[str, str], says: str) -> None:
    code, line = refusal(*wrong)
    assert code == 2
    assert line.startswith(f"error: {wrong[0]} (or FOVEA_CLIENT_")
    assert says in line


def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    code, line = refusal("--target", "127.0.0.1:1", "--timeout-s", "5")
    assert code == 69
    assert line.startswith("error: no server answers at 127.0.0.1:1: ")
    assert line.endswith("; is it started, is --target right?")
