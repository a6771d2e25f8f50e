"""What a contributor meets first: pages, hooks and hosted checks name what exists."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PAGES = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", ".github/pull_request_template.md")
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))


def test_pages_link_to_files_and_name_targets_of_make() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text()
        links = re.findall(r"\]\(([^)#]+)\)", text)
        assert [link for link in links if not (ROOT / link).exists()] == [], page
        commands = re.findall(r"(?:`|^)make ([a-z -]+?)(?:`|$)", text, re.MULTILINE)
        assert {name for command in commands for name in command.split()} <= TARGETS, page


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
