"""One version for all that carries one, and `make release`, which builds and tags it."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from server.oip.description import SERVER_VERSION
from tests.markdown import Page

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CARRIERS = {
    "Dockerfile.*": r"^ARG VERSION=(\S+)$",
    "deploy/**/Dockerfile": r"^ARG VERSION=(\S+)$",
    "deploy/**/kustomization.yaml": r"^\s+newTag: [\"']?(\d[\w.]*)",
    "deploy/**/*.yaml": r"fovea-(?:serve|train|triton):(\d[\w.]*)",
    "docs/*.md": r"fovea-(?:serve|train|triton):(\d[\w.]*)",
}
"""Files -> where they say the version."""
BUILT_FROM = (
    "Makefile",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
    "pyproject.toml",
    ".gitignore",
    "fovea",
    "proto",
)


def test_all_that_carries_a_version_carries_pyprojects() -> None:
    carriers = {
        (str(path.relative_to(ROOT)), version)
        for files, pattern in CARRIERS.items()
        for path in ROOT.glob(files)
        for version in re.findall(pattern, path.read_text(), re.MULTILINE)
    }
    assert len(carriers) >= 10
    assert {carrier for carrier in carriers if carrier[1] != VERSION} == set()
    assert SERVER_VERSION == VERSION


def test_the_newest_changes_are_of_the_version_or_to_be_released() -> None:
    newest = Page.read(ROOT / "CHANGELOG.md").headings[1]
    assert newest == "Unreleased" or re.fullmatch(rf"{re.escape(VERSION)} - \d{{4}}-\d\d-\d\d", newest)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of what the distribution is built from, whose CHANGELOG does not have the version yet."""
    place = tmp_path / "checkout"
    place.mkdir()
    for name in BUILT_FROM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place / name)
    (place / "CHANGELOG.md").write_text("# Changes\n\n## Unreleased\n")
    git(place, "init", "--quiet")
    commit(place)
    return place


def test_a_release_is_built_and_tagged_from_a_clean_tree_alone(checkout: Path) -> None:
    assert "CHANGELOG.md has no" in refusal(checkout)
    (checkout / "CHANGELOG.md").write_text(f"# Changes\n\n## {VERSION} - 2026-01-31\n")
    assert "not committed" in refusal(checkout)
    commit(checkout)
    ended = release(checkout)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    source, wheel = sorted((path.name for path in (checkout / "dist").iterdir()), reverse=True)
    assert source == f"fovea_vision-{VERSION}.tar.gz"
    assert re.fullmatch(rf"fovea_vision-{re.escape(VERSION)}-cp311-abi3-\w+\.whl", wheel)
    assert git(checkout, "cat-file", "-t", f"v{VERSION}") == "tag"
    assert git(checkout, "rev-parse", f"v{VERSION}^{{commit}}") == git(checkout, "rev-parse", "HEAD")
    assert git(checkout, "status", "--porcelain") == ""
    assert f"there is a tag v{VERSION}" in refusal(checkout)


def refusal(checkout: Path) -> str:
    """What `make release` says while it makes nothing."""
    tags = git(checkout, "tag")
    ended = release(checkout)
    assert ended.returncode != 0
    assert git(checkout, "tag") == tags
    return ended.stdout


def release(checkout: Path) -> subprocess.CompletedProcess[str]:
    # The environment is set up already: this one.
    command = ["make", "release", "READY=", f"BIN={Path(sys.executable).parent}"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(checkout.parent), **IDENTITY}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


IDENTITY = {
    **{f"GIT_{role}_NAME": "A Maintainer" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "maintainer@example.com" for role in ("AUTHOR", "COMMITTER")},
}


def commit(checkout: Path) -> None:
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "A change")


def git(checkout: Path, *arguments: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(checkout.parent), **IDENTITY}
    ended = subprocess.run(
        ["git", *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=True
    )
    return ended.stdout.strip()
