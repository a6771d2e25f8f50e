"""What tests start is a process as any other, though its libraries were loaded before."""

import os
import signal
import subprocess
from pathlib import Path

from tests import programs

PATIENCE_S = 60


def test_it_has_arguments_variables_a_folder_streams_and_a_code_of_its_own(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "print(sys.argv[1:], dict(os.environ), os.getcwd())\n"
        "print(os.getppid(), file=sys.stderr)\n"
        "sys.exit(65)"
    )
    ended = programs.run(
        "server", "a", "b", code=code, timeout=PATIENCE_S, cwd=tmp_path, env={"COLOUR": "red"}
    )
    assert ended.stdout == f"['a', 'b'] {{'COLOUR': 'red'}} {tmp_path}\n"
    assert int(ended.stderr) == os.getpid()
    assert ended.returncode == 65


def test_a_signal_ends_it_alone() -> None:
    code = "import signal; print('here', flush=True); signal.pause()"
    with (
        programs.Program("server", code=code, stdout=subprocess.PIPE) as first,
        programs.Program("server", code=code, stdout=subprocess.PIPE) as second,
    ):
        for program in (first, second):
            assert program.stdout is not None
            assert program.stdout.readline() == "here\n"
        first.terminate()
        assert first.wait(PATIENCE_S) == -signal.SIGTERM
        assert second.poll() is None
        second.kill()
        assert second.wait(PATIENCE_S) == -signal.SIGKILL


def test_an_error_ends_it_as_it_ends_python() -> None:
    ended = programs.run("server", code="raise KeyError('odd')", timeout=PATIENCE_S)
    assert ended.returncode == 1
    assert ended.stderr.endswith("KeyError: 'odd'\n")
