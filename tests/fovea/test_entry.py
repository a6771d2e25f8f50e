"""Ctrl-C and SIGTERM while a program is still loading its libraries."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import clean_environment

ROOT = Path(__file__).parents[2]

TRAIN = ("trainer", "train", "--data", "digits", "--models", "/dev/null/models")
SERVE = ("server", "--models", "m")
SCORE = ("scorer", "run", "photos", "--models", "m", "--output", "/dev/null/scores")


@pytest.mark.parametrize(
    ("program", "loaded"),
    [
        (SERVE, "annotated_types"),
        (SERVE, "grpc._compression"),
        (SCORE, "annotated_types"),
        (SCORE, "pyarrow.util"),
        (("fovea.client", "a.png"), "fovea.errors"),
        (("fovea.client", "a.png"), "grpc._compression"),
        (TRAIN, "annotated_types"),
        (TRAIN, "torch.types"),
    ],
)
def test_an_interrupt_while_libraries_load_is_one_line(program: tuple[str, ...], loaded: str) -> None:
    assert interrupted(signal.SIGINT, program, loaded) == (["interrupted\n"], 130)


@pytest.mark.parametrize("loaded", ["annotated_types", "torch.types"])
def test_a_sigterm_while_libraries_load_is_one_line(loaded: str) -> None:
    assert interrupted(signal.SIGTERM, TRAIN, loaded) == (["error: stopped by SIGTERM\n"], 143)


def test_an_ignored_interrupt_stays_ignored() -> None:
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from fovea import entry; import sys; sys.modules['it'] = sys.modules['__main__']\n"
        "def main(): signal.raise_signal(signal.SIGINT)\n"
        "entry.run('it')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("program", "lacking", "extra"),
    [(SERVE, "onnxruntime", "serve"), (SCORE, "pyarrow", "serve,score"), (TRAIN, "torch", "train")],
)
def test_a_library_that_is_not_installed_is_one_line_with_what_to_install(
    program: tuple[str, ...], lacking: str, extra: str
) -> None:
    code = (
        f"import sys; sys.modules[{lacking!r}] = None; sys.argv = {list(program)}\n"
        f"from fovea import entry; entry.run('{program[0]}.__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    install = f"pip install 'fovea-vision[{extra}]'"
    assert ended.stderr == f"error: {lacking} is missing, which the {program[0]} needs: {install}\n"
    assert ended.returncode == 69


def interrupted(sent: signal.Signals, program: tuple[str, ...], loaded: str) -> tuple[list[str], int]:
    """What the program says and how it ends when the signal comes as that module is loaded."""
    with start(*program) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith(f" {loaded}"):
                process.send_signal(sent)
                break
        rest = [line for line in process.stderr if not line.startswith("import time:")]
    return rest, process.returncode


def start(*arguments: str) -> subprocess.Popen[str]:
    """A program that says on stderr which module it has just imported."""
    return subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("FOVEA_")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
