"""What a benchmark starts ends with it, whatever ends it."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.builds import THIS, Build, other_build
from benchmarks.processes import output_of, outputs_of, running, said_by
from fovea.errors import SettingsInvalid, Unavailable

DEAF = "trap '' TERM; sleep 600 & echo $!; wait; wait"
"""A program that SIGTERM does not reach, with a child."""


def is_gone(pid: int) -> bool:
    """Or is only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_programs_end_with_all_that_they_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.processes.PATIENCE_S", 0.1)
    with suppress(KeyboardInterrupt), running(["sh", "-c", DEAF]) as program:
        child = int(program.wait_for("", timeout_s=30))
        assert not is_gone(child)
        raise KeyboardInterrupt
    assert program.has_ended()
    assert is_gone(child)


def test_programs_say_what_they_have_to() -> None:
    with running(["sh", "-c", "echo one; echo two >&2; echo three"]) as program:
        assert program.wait_for("tw", timeout_s=30) == "two\n"
        with pytest.raises(Unavailable, match=r"ended without saying 'four': one \| two \| three"):
            program.wait_for("four", timeout_s=30)


def test_short_programs_run_side_by_side_and_their_failure_is_one_line() -> None:
    assert outputs_of([["echo", "a"], ["echo", "b"]]) == ["a\n", "b\n"]
    assert said_by(["sh", "-c", "echo a; echo b >&2"]) == "a\nb\n"
    with pytest.raises(Unavailable, match=r"^sh -c .* ended with 3: no such thing$"):
        output_of(["sh", "-c", "echo no such thing >&2; exit 3"])


def test_older_build_is_a_checkout_with_an_environment_of_its_own_or_ours(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="no checkout of this project"):
        other_build(tmp_path)
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "__main__.py").touch()
    assert other_build(tmp_path) == Build(tmp_path, Path(sys.executable))
    assert other_build(tmp_path).name == tmp_path.name
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    own = tmp_path / ".venv" / "bin" / "python"
    own.symlink_to(sys.executable)
    assert other_build(tmp_path).python == own
    assert THIS.folder == Path(__file__).parents[2]


def test_scripts_import_the_packages_of_the_build(tmp_path: Path) -> None:
    package = tmp_path / "fovea"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "client.py").write_text(f"raise SystemExit('{tmp_path.name}')")
    with pytest.raises(Unavailable, match=f": {tmp_path.name}$"):
        Build(tmp_path, Path(sys.executable)).run_script("client_cost.py")
    assert "PYTHONPATH" not in os.environ or os.environ["PYTHONPATH"] != str(tmp_path)
