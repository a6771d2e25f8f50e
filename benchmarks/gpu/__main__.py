"""Prepares the kit: wheels, photographs, a model and the code, in parts of at most so many MiB.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --rehearse

Each part lies in a folder of its own, with the script that measures. `--rehearse` brings no wheel but one of
its own making, a tiny model, and then runs that script here, on the CPU, with tiny sizes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from benchmarks.gpu import packages
from benchmarks.gpu.parts import pack
from benchmarks.measuring import write_files
from benchmarks.serving_models import photographs, publish_resnet34, publish_tiny

ROOT: Final = Path(__file__).parents[2]
CODE: Final = ("fovea", "trainer", "server", "scorer", "benchmarks", "tests")
FILES: Final = ("pyproject.toml", "constraints.txt")
PHOTOGRAPHS: Final = 64
MIB: Final = 2**20
REHEARSED_PART_BYTES: Final = MIB
"""So that there are several."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-kit")
    parser.add_argument("--part-mib", type=int, default=56, help="the most that can be brought at a time")
    parser.add_argument(
        "--models", type=Path, help="a model's folder of versions to bring; by default, made now"
    )
    parser.add_argument("--rehearse", action="store_true", help="tiny, and run here on the CPU")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        content = Path(scratch) / "content"
        fill(content, options.models, options.rehearse)
        if options.rehearse:
            parts = pack(content, options.out, REHEARSED_PART_BYTES, level=1)
        else:
            parts = pack(content, options.out, options.part_mib * MIB, level=9)
    for part in parts:
        print(f"{part}: {part.stat().st_size / MIB:.1f} MiB", flush=True)
    if options.rehearse:
        sys.exit(_rehearse(options.out))


def fill(content: Path, models: Path | None, tiny: bool) -> None:
    """All that the machine needs: source/, wheels/, photographs/ and models/."""
    for name in CODE:
        shutil.copytree(ROOT / name, content / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, content / "source" / name)
    write_files(content / "photographs", photographs(4 if tiny else PHOTOGRAPHS, 500, 375))
    _bring_model(content / "models", models, tiny)
    (content / "wheels").mkdir()
    with tempfile.TemporaryDirectory() as downloaded:
        (_make_wheel if tiny else packages.download)(Path(downloaded))
        for wheel in Path(downloaded).iterdir():
            packages.unsqueeze(wheel, content / "wheels" / wheel.name)


def _bring_model(target: Path, models: Path | None, tiny: bool) -> None:
    """Of the trainer's own release, hardly trained: as fast as one that is."""
    with tempfile.TemporaryDirectory() as work:
        if models:
            shutil.copytree(models, target / models.name)
        elif tiny:
            publish_tiny(target / "tiny", Path(work) / "staging")
        else:
            publish_resnet34(target / "resnet34", Path(work), "fp16")


def _make_wheel(folder: Path) -> None:
    """One that any Python installs, and that the rehearsal looks for."""
    about = "gpu_kit_rehearsal-1.dist-info"
    with zipfile.ZipFile(folder / "gpu_kit_rehearsal-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("gpu_kit_rehearsal.py", "INSTALLED = True\n")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: gpu-kit-rehearsal\nVersion: 1\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


def _rehearse(out: Path) -> int:
    """As on the machine: the parts are brought one after the other, each to the same place."""
    environment = {**os.environ, "OUT": str(out / "results")}
    code = 0
    for folder in sorted(out.glob("part-*")):
        brought = Path(shutil.copytree(folder, out / "brought" / folder.name))
        script = [sys.executable, str(brought / "kit.py"), "--home", str(out / "home"), "--tiny"]
        code = subprocess.run(script, env=environment, check=False).returncode
        shutil.rmtree(brought)
    return code


if __name__ == "__main__":
    main()
