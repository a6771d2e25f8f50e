"""The kit for a machine with a GPU, as far as it can be seen without one."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.gpu import kit, packages
from benchmarks.gpu.parts import pack
from benchmarks.gpu.run import LEFT_OUT, STEPS, Run
from tests import tiny

ROOT = Path(__file__).parents[1]
ROW = {"what": "images", "values": {"images/s": 3.5}, "note": ""}
PROGRAMS = ("train", "serve", "score")
MANIFEST = {"commit": "abc", "digest": "def"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_kit_is_rehearsed_without_a_gpu(tmp_path: Path) -> None:
    models = tmp_path / "models" / "tiny"
    tiny.publish_bundle(models, tmp_path / "staging", variants={"fp16": 8.0})
    command = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--out", str(tmp_path / "kit")]
    rehearsed = subprocess.run(
        [*command, "--models", str(models)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    log = (tmp_path / "kit" / "results" / "log.txt").read_text()
    assert rehearsed.returncode == 0, rehearsed.stdout + log
    assert "kept; still to be brought: part-2.bin" in rehearsed.stdout
    results = json.loads((tmp_path / "kit" / "results" / "results.json").read_text())
    assert [results["steps"][name]["status"] for name in STEPS] == ["done"] * len(STEPS)
    rows = [row for name in STEPS for row in results["steps"][name]["rows"]]
    assert len(rows) > 30
    left = {row["what"] for row in rows if row["note"].startswith("not run: ")}
    assert {"nvidia-smi", "make test-gpu", "the GPU is busy", "fp16: memory on the device"} <= left
    assert [row["what"] for row in rows if bool(row["values"]) == (row["what"] in left)] == []
    assert (tmp_path / "kit" / "results" / "table.md").read_text() in rehearsed.stdout


def test_what_the_programs_need_is_brought_or_there() -> None:
    brought = {canonicalize_name(name) for name in packages.BROUGHT}
    needed = _needed("fovea-vision", PROGRAMS, stop=packages.THERE | set(packages.LEFT_OUT))
    assert needed - packages.THERE - set(packages.LEFT_OUT) - {"fovea-vision"} <= brought
    assert {"onnxruntime-gpu", "pytest", "pytest-timeout"} <= brought
    pinned = {line.partition("==")[0].lower() for line in packages.CONSTRAINTS.read_text().splitlines()}
    assert {name.replace("-", "_") for name in brought} <= {name.replace("-", "_") for name in pinned}


def _needed(name: str, extras: tuple[str, ...], stop: set[str] | frozenset[str]) -> set[str]:
    """With all that they need in turn, but nothing of those to stop at."""
    needed = {name}
    for text in distribution(name).requires or ():
        wanted = Requirement(text)
        known = {"python_version": packages.PYTHON, "python_full_version": f"{packages.PYTHON}.1"}
        asked = [{**known, "extra": extra} for extra in ("", *extras)]
        if wanted.marker is None or any(wanted.marker.evaluate(each) for each in asked):
            other = canonicalize_name(wanted.name)
            if other == name:
                needed |= _needed(name, tuple(wanted.extras - set(extras)), stop)
            else:
                needed |= {other} if other in stop else _needed(other, tuple(wanted.extras), stop)
    return needed


def test_parts_are_kept_one_after_the_other_and_checked(tmp_path: Path) -> None:
    content, home = tmp_path / "content", tmp_path / "home"
    content.mkdir()
    (content / "noise").write_bytes(os.urandom(2500))
    first, second, third = pack(content, tmp_path / "kit", 1000, level=1)
    manifest = json.loads((first.parent / kit.MANIFEST).read_text())
    assert [part["bytes"] <= 1000 for part in manifest["parts"]] == [True] * 3
    second.rename(tmp_path / "later")
    third.write_bytes(b"?" + third.read_bytes()[1:])

    damaged = _bring(first.parent, home)
    assert damaged.returncode == 1
    assert damaged.stderr == f"{third}: is damaged (its sha256 is another): bring it again\n"
    third.unlink()
    assert _bring(first.parent, home).stdout == "kept; still to be brought: part-2.bin, part-3.bin\n"
    (tmp_path / "later").rename(second)
    first.unlink()
    assert _bring(first.parent, home).stdout == "kept; still to be brought: part-3.bin\n"


def _bring(folder: Path, home: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(folder / "kit.py"), "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_wheel_is_stored_whole(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("code.py", "x = 1\n" * 1000)
    packages.unsqueeze(tmp_path / "some.whl", tmp_path / "stored.whl")
    with zipfile.ZipFile(tmp_path / "stored.whl") as stored:
        (entry,) = stored.infolist()
        assert (entry.filename, entry.compress_size) == ("code.py", 6000)
        assert stored.read(entry) == b"x = 1\n" * 1000


def test_a_step_that_fails_or_takes_too_long_keeps_what_it_measured(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    (tmp_path / kit.MANIFEST).write_text(json.dumps(MANIFEST))
    say = f"import json, sys, subprocess, threading; print(json.dumps({ROW}), flush=True);"
    waits = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    endless = f"subprocess.run({waits}, process_group=0)"
    run = Run(tmp_path / "out", content, ["machine", "serving", "training", "scoring"])
    run.measure("machine", [sys.executable, "-c", f"{say} print('no row')"], 60)
    assert not run.has_failed()
    run.measure("serving", [sys.executable, "-c", f"{say} sys.exit('no room')"], 60)
    assert run.has_failed()
    run.measure("training", [sys.executable, "-c", f"{say} {endless}"], 2)
    run.measure("scoring", [sys.executable, "-c", say], 0.5)

    results: dict[str, Any] = json.loads((tmp_path / "out" / "results.json").read_text())
    steps = results["steps"]
    assert [steps[name]["rows"] for name in ("machine", "serving", "training")] == [[ROW]] * 3
    assert {name: step["status"] for name, step in steps.items()} == {
        "machine": "done",
        "serving": "failed: no room",
        "training": "cut after 2 s",
        "scoring": "not run: no time was left",
        "models": "not run: not asked for",
        **{name: f"not run: {why}" for name, why in LEFT_OUT.items()},
    }
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| machine | images | images/s 3.5 |" in table
    assert (results["commit"], results["kit"]) == ("abc", "def")
