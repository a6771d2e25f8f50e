"""The form of findings/*.sh, as findings/README.md tells it. They are run by hand: they download."""

import re
import subprocess
from pathlib import Path

import pytest

FINDINGS = Path(__file__).parent.parent / "findings"
HEAD = re.compile(
    r"#!/usr/bin/env bash\n"
    r"# package: .*\d+\.\d+.*\n(#  .*\n)*"
    r"# behaviour: .+\n(#  .*\n)*"
    r"# output:\n(#   .+\n)+"
    r"# date: \d{4}-\d\d-\d\d\n"
    r"set -euo pipefail\n"
)
PINNED = re.compile(r"[\w\]]==[\"$\d]")


def test_finding_has_its_form() -> None:
    scripts = sorted(FINDINGS.glob("*.sh"))
    assert scripts
    for script in scripts:
        assert faults(script.read_text()) == [], script.name
        assert script.stat().st_mode & 0o111, f"{script.name} is not executable"
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0, script.name
    others = {path.name for path in FINDINGS.iterdir()} - {script.name for script in scripts}
    assert others == {"README.md"}


def faults(text: str) -> list[str]:
    wanted = {
        "its head": HEAD.match(text),
        "a folder of its own": "mktemp -d" in text and re.search(r"^trap .*rm -rf.* EXIT$", text, re.M),
        "a venv": re.search(r"-m venv|uv venv", text),
        "pinned packages": PINNED.search(text),
        "a verdict": "the behaviour changed" in text,
        "no Fovea": not re.search(r"^\s*(from|import) (fovea|trainer|server|scorer)\b", text, re.M),
    }
    return [name for name, there in wanted.items() if not there]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("# date: ", "# on: ", "its head"),
        ("set -euo pipefail", "set -e", "its head"),
        ("trap ", "# ", "a folder of its own"),
        ("==", ">=", "pinned packages"),
        ("the behaviour changed", "", "a verdict"),
        ("import numpy", "import fovea", "no Fovea"),
    ],
)
def test_fault_in_a_finding_is_seen(old: str, new: str, fault: str) -> None:
    whole = (FINDINGS / "onnxruntime-1.29-fp16-gemm.sh").read_text()
    assert faults(whole.replace(old, new)) == [fault]
