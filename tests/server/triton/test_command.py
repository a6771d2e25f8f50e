"""`python -m server.triton`: how it ends, and how it follows what is published."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from fovea.model.versions import publish
from server.triton.following import Follower
from tests.programs import Program, run
from tests.server import spoiled
from tests.server.triton_release import Release
from tests.servers import ROOT, clean_environment

PATIENCE_S = 60


def arguments(release: Release, *flags: str) -> list[str]:
    places = ["--models", release.models, "--repository", str(release.repository)]
    return [*places, "--log-format", "json", *flags]


def test_failure_is_one_line_and_its_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "server.triton", *arguments(Release(tmp_path))]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 65
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/models/tiny: no model is published here")


@contextmanager
def following(release: Release, *flags: str) -> Iterator[tuple["subprocess.Popen[str]", IO[str]]]:
    """A follower that has laid out version 1, and what it says."""
    with Program(
        "server",
        *arguments(release, "--follow", "--watch-interval-s", "0.1", *flags),
        module="server.triton",
        cwd=ROOT,
        env=clean_environment(),
        stderr=subprocess.PIPE,
    ) as follower:
        try:
            assert follower.stderr
            assert '"version": 1' in follower.stderr.readline()
            yield follower, follower.stderr
        finally:
            follower.kill()


def test_follower_takes_each_version_and_keeps_the_last_two(release: Release) -> None:
    with following(release, "--with-onnx") as (follower, said):
        for version in (2, 3):
            release.publish()
            assert f'"version": {version}' in said.readline()
        publish(spoiled.change_the_golden_answers(release.stage()), release.models)
        assert '"version is refused", "version": 4' in said.readline()
        follower.send_signal(signal.SIGTERM)
        assert follower.wait(PATIENCE_S) == 0
    assert release.served == "3"
    assert release.versions() == release.versions("tiny_onnx") == ["2", "3"]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_follower_says_which_signal_ended_it(release: Release, signum: signal.Signals, code: int) -> None:
    with following(release) as (follower, said):
        release.publish()
        assert '"version": 2' in said.readline()
        follower.send_signal(signum)
        assert follower.wait(PATIENCE_S) == code


def test_signal_is_heard_at_each_instant_of_the_wait() -> None:
    """The last one is held back until the main thread is likely to be anywhere in its wait."""
    code = """
        import itertools, signal, sys
        from server.triton.following import follow_until_stopped

        class Nothing:
            def look(self): ...

        def send_at(call):
            calls = itertools.count()
            signal.signal(signal.SIGINT, signal.default_int_handler)  # until what is tested sets its own

            def seen(*_):
                if signal.getsignal(signal.SIGINT) is not signal.default_int_handler and next(calls) == call:
                    signal.raise_signal(signal.SIGTERM)

            sys.setprofile(seen)

        for call in range(100):
            send_at(call)
            code = follow_until_stopped(Nothing(), 1e-5)
            sys.setprofile(None)
            assert code == 0
    """
    done = run("server", code=textwrap.dedent(code), cwd=ROOT, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, "")


def test_second_signal_does_not_wait_for_a_look_that_is_under_way(release: Release, tmp_path: Path) -> None:
    endless = shutil.copytree(Path(release.models) / "1", tmp_path / "2")
    (endless / "model.onnx").unlink()
    os.mkfifo(endless / "model.onnx")
    with following(release) as (follower, _):
        endless.rename(Path(release.models) / "2")
        writer = os.open(Path(release.models) / "2" / "model.onnx", os.O_WRONLY)  # once it is being read
        try:
            for _ in range(10 * PATIENCE_S):
                follower.send_signal(signal.SIGTERM)  # more than one: two may be taken for the same
                with suppress(subprocess.TimeoutExpired):
                    follower.wait(0.1)
                    break
            assert follower.returncode == 143
        finally:
            os.close(writer)


def test_follower_goes_on_when_the_models_were_away(
    release: Release, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(release.settings("--follow"))
    follower.lay_out_first()
    models, away = Path(release.models), tmp_path / "away"
    models.rename(away)
    follower.look()
    follower.look()
    assert [record.getMessage() for record in caplog.records] == ["cannot look for versions"]
    away.rename(models)
    release.publish()
    follower.look()
    assert release.served == "2"
