"""`python -m server.triton`: how it ends, and how it follows what is published."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fovea.versions import publish
from server.triton.following import Follower
from tests.server import spoiled
from tests.server.triton_release import Release
from tests.servers import ROOT, clean_environment

PATIENCE_S = 60


def command(release: Release, *flags: str) -> list[str]:
    words = ["--models", release.models, "--repository", str(release.repository), "--log-format", "json"]
    return [sys.executable, "-m", "server.triton", *words, *flags]


def test_failure_is_one_line_and_its_exit_code(tmp_path: Path) -> None:
    done = subprocess.run(
        command(Release(tmp_path)), cwd=ROOT, env=clean_environment(), capture_output=True, text=True
    )
    assert done.returncode == 65
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/models/tiny: no model is published here")


def test_follower_takes_each_version_and_keeps_the_last_two(release: Release) -> None:
    flags = ("--follow", "--watch-interval-s", "0.1", "--with-onnx")
    with subprocess.Popen(
        command(release, *flags), cwd=ROOT, env=clean_environment(), stderr=subprocess.PIPE, text=True
    ) as follower:
        try:
            assert follower.stderr
            assert '"version": 1' in follower.stderr.readline()
            for version in (2, 3):
                release.publish()
                assert f'"version": {version}' in follower.stderr.readline()
            publish(spoiled.change_the_golden_answers(release.stage()), release.models)
            assert '"version is refused", "version": 4' in follower.stderr.readline()
            follower.send_signal(signal.SIGTERM)
            assert follower.wait(PATIENCE_S) == 0
        finally:
            follower.kill()
    assert release.served == "3"
    assert release.versions() == release.versions("tiny_onnx") == ["2", "3"]


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
