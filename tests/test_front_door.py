"""What a contributor meets first: pages, hooks and hosted checks name what exists."""

import re
from pathlib import Path

import yaml

from tests.docs.pages import TARGETS
from tests.markdown import Page

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
TEMPLATE = Page.read(ROOT / ".github/pull_request_template.md")


def test_template_of_a_change_names_targets_of_make() -> None:
    commands = [code.split() for code in TEMPLATE.code if code.startswith("make ")]
    assert commands
    assert {name for command in commands for name in command[1:]} <= TARGETS
    assert [link for link in TEMPLATE.links if not (ROOT / link).exists()] == []


def test_files_and_modules_that_make_names_exist() -> None:
    files = set(re.findall(r"\b[\w/]+\.py\b", MAKEFILE))
    assert {file for file in files if not any((ROOT / at / file).is_file() for at in ("", "tests"))} == set()
    modules = set(re.findall(r"\bpython -m ((?:tests|demo|benchmarks|containers)[\w.]*)", MAKEFILE))
    assert {module for module in modules if not list(ROOT.glob(f"{module.replace('.', '/')}*"))} == set()


def test_hosted_checks_run_what_a_change_has_to_pass() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text())
    job = workflow["jobs"]["check"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    runs = [step["run"] for step in job["steps"] if step.get("run", "").startswith("make ")]
    assert runs == ["make lint", "make types", "make test"]
    assert workflow["permissions"] == {"contents": "read"}


def test_hooks_are_local_and_run_the_projects_own_tools() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    entries = {hook["id"]: hook["entry"].split() for hook in repository["hooks"]}
    assert set(entries) == {"ruff-check", "ruff-format", "types"}
    assert entries["types"] == ["make", "types"] and "types" in TARGETS  # noqa: PT018
