"""Programs where they are not at home: no user of that number, no home, a terminal of few letters."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import programs, tiny
from tests.servers import PATIENCE_S, ROOT, clean_environment
from tests.stub_classifier import stub_server

UNKNOWN_USER = ("unshare", "--user", "--map-user=12345", "--map-group=12345")
TEXT = "café 写真 …"
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1:strict"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


def run(*command: str, **environment: str | None) -> "subprocess.CompletedProcess[str]":
    """With the environment as it is but for these; those that are None are absent."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=present(environment),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def present(environment: dict[str, str | None]) -> dict[str, str]:
    merged = {**clean_environment(), "PYTHONIOENCODING": None, **environment}
    return {name: value for name, value in merged.items() if value is not None}


def cache_of(*before: str, **environment: str | None) -> str:
    """Where a program keeps what it fetches."""
    program = (
        "from fovea import exits\n"
        "from fovea.model import versions\n"
        "exits.run(lambda: print(versions.default_cache()))"
    )
    environment = {"XDG_CACHE_HOME": None, "USER": None, **environment}
    if before:
        ended = run(*before, sys.executable, "-c", program, **environment)
    else:
        ended = programs.run("server", code=program, timeout=PATIENCE_S, cwd=ROOT, env=present(environment))
    assert ended.stderr == ""
    return ended.stdout.strip()


@pytest.fixture
def unknown_user() -> tuple[str, ...]:
    if shutil.which("unshare") is None or subprocess.run([*UNKNOWN_USER, "true"], check=False).returncode:
        pytest.skip("this machine lets nobody be another user")
    return UNKNOWN_USER


def test_a_user_without_a_home_keeps_things_in_a_folder_of_its_own(
    unknown_user: tuple[str, ...], tmp_path: Path
) -> None:
    cache = cache_of(*unknown_user, HOME=None, TMPDIR=str(tmp_path))
    assert cache == f"{tmp_path}/fovea-12345/.cache/fovea"
    assert (tmp_path / "fovea-12345").stat().st_mode & 0o777 == 0o700
    assert cache_of(*unknown_user, HOME=None, TMPDIR=str(tmp_path)) == cache


def test_a_home_that_is_not_there_is_not_written_to(tmp_path: Path) -> None:
    cache = cache_of(HOME="/nonexistent", TMPDIR=str(tmp_path))
    assert cache == f"{tmp_path}/fovea-{os.getuid()}/fovea"
    assert cache_of(HOME=str(tmp_path)) == f"{tmp_path}/.cache/fovea"


def test_a_cache_of_another_user_is_left_to_it(unknown_user: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "image" / "fovea").mkdir(parents=True)
    (tmp_path / "image" / "fovea").chmod(0o555)
    at = {"TMPDIR": str(tmp_path), "HOME": "/"}
    other = cache_of(*unknown_user, XDG_CACHE_HOME=f"{tmp_path}/image", **at)
    assert other == f"{tmp_path}/fovea-12345/fovea"
    cache = cache_of(*unknown_user, XDG_CACHE_HOME=f"{tmp_path}/new", **at)
    assert cache == f"{tmp_path}/new/fovea"


def test_a_folder_that_someone_else_made_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"fovea-{os.getuid()}").symlink_to(tmp_path / "theirs")
    cache = cache_of(HOME="/nonexistent", TMPDIR=str(tmp_path))
    assert re.fullmatch(rf"{tmp_path}/fovea-\w{{8}}/fovea", cache)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_a_terminal_lacks_is_printed_as_its_number(encoding: str) -> None:
    says = f"[print({TEXT!a}, file=to) for to in (sys.stdout, sys.stderr)]"
    program = f"import sys; from fovea import exits; exits.run(lambda: {says} and None)"
    ended = run(sys.executable, "-c", program, **ENCODINGS[encoding])
    assert ended.returncode == 0
    assert ended.stdout == ended.stderr
    assert "\\u5199\\u771f \\u2026" in ended.stdout


def test_every_program_begins_and_ends_in_one_place() -> None:
    packages = ("fovea", "server", "trainer", "scorer", "demo")
    texts = {path: path.read_text() for name in packages for path in (ROOT / name).rglob("*.py")}
    programs = {
        path: re.split(r'^if __name__ == "__main__":$', text, flags=re.M) for path, text in texts.items()
    }
    assert sum(len(parts) > 1 for parts in programs.values()) >= 8
    for own in ("compute/process.py", "fronts/process.py", "http/crop_process.py"):
        del programs[ROOT / "server" / own]  # which ends as the server wants
    for program, parts in programs.items():
        if len(parts) > 1:
            assert re.search(r"^    (entry|exits)\.run\(", parts[1], re.MULTILINE), program


@pytest.mark.slow
def test_programs_print_any_name_in_any_place(unknown_user: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "写真").mkdir()
    (tmp_path / "写真" / "café.png").write_bytes(tiny.picture("red"))
    tiny.publish_bundle(tmp_path / "模型", tmp_path / "staging", labels=("红", "绿", "蓝"))
    photos, models, scores = (str(tmp_path / name) for name in ("写真", "模型", "分数"))
    score = ("scorer", "run", photos, "--models", models, "--output", scores)
    with stub_server() as stub:
        good = (
            (*score, "--dry-run"),
            score,
            ("trainer", "inspect", models),
            ("server.triton", "--models", models, "--repository", str(tmp_path / "仓库")),
            ("fovea.client", f"{photos}/café.png", "--target", stub.address),
        )
        bad = (
            ("server", "--models", photos),
            ("trainer", "train", "--data", f"{photos}/没有", "--models", models),
        )
        for code, commands in ((0, good), (65, bad)):
            for command in commands:
                ended = run(
                    *unknown_user, sys.executable, "-m", *command,
                    HOME=None, USER=None, XDG_CACHE_HOME=None, TMPDIR=str(tmp_path), **ENCODINGS["ascii"],
                )  # fmt: skip
                assert ended.returncode == code, ended.stderr
                assert "Traceback" not in ended.stderr
                assert "\\u" in ended.stdout + ended.stderr
