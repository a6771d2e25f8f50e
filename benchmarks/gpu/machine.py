"""What the machine is, and the tests that need a GPU."""

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.gpu import device
from benchmarks.gpu.rows import attempt, expect, measured, not_run
from benchmarks.gpu.sizes import arguments
from fovea.cpus import available_cpus, processor_name
from fovea.model.sessions import CUDA, ort

PACKAGES: Final = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "onnx",
    "grpcio",
    "protobuf",
    "pyarrow",
    "pytest",
)
OF_WHEELS: Final = ("onnxruntime", "pydantic", "gpu_kit_rehearsal")
"""The last is all that a rehearsal brings."""
ASKED: Final = ("name", "driver_version", "memory.total", "clocks.max.sm")


def main() -> None:
    content, sizes = arguments("machine")
    measured(
        "the machine",
        {"processor": processor_name(), "cores": available_cpus(), "Python": platform.python_version()},
    )
    measured("versions", {"onnxruntime": ort.__version__, **{name: _version(name) for name in PACKAGES}})
    installed = [name for name in OF_WHEELS if _origin(name).startswith(str(content / "site"))]
    expect("the wheels are installed, and found first", bool(installed), ", ".join(installed))
    if not sizes.on_gpu:
        not_run("nvidia-smi", "this is a rehearsal on the CPU")
        _collect()
        return
    with attempt("nvidia-smi"):
        measured("nvidia-smi", dict(zip(ASKED, device.query(*ASKED), strict=True)))
    with attempt("onnxruntime has CUDA"):
        expect(
            "onnxruntime has CUDA", CUDA in ort.get_available_providers(), str(ort.get_available_providers())
        )
    with attempt("make test-gpu"):
        _test()


def _origin(module: str) -> str:
    spec = find_spec(module)
    return (spec and spec.origin) or ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _tests() -> list[str]:
    """The files with such tests alone: others need what this machine has not."""
    return [str(file) for file in Path("tests").rglob("test_*.py") if "pytest.mark.gpu" in file.read_text()]


def _pytest(*flags: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", *flags, *_tests()]


def _collect() -> None:
    """Loads them, with all that they import, and runs none."""
    ended = subprocess.run(_pytest("--collect-only", "-q"), capture_output=True, text=True, check=False)
    tests = sum("::" in line for line in ended.stdout.splitlines())
    last = "".join(ended.stdout.splitlines()[-1:])
    expect("the tests for a GPU load", ended.returncode == 0 and tests > 0, f"{tests}: {last}")
    not_run("make test-gpu", "this is a rehearsal on the CPU")


def _test() -> None:
    """Each is said as soon as it has passed; of what has not, the summary at the end says why."""
    wide = {**os.environ, "COLUMNS": "400"}  # or reasons are cut at 80
    with subprocess.Popen(_pytest("-v"), stdout=subprocess.PIPE, text=True, env=wide) as process:
        for line in process.stdout or ():
            sys.stderr.write(line)
            if passed := re.search(r"::(\w+) PASSED", line):
                expect(passed[1], True, "")
            elif left := re.match(r"(?:FAILED|ERROR|SKIPPED) (.*)", line):
                expect(left[1][:300], False, "")


if __name__ == "__main__":
    main()
