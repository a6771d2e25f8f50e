"""Python environments with chosen packages, for tests marked slow: what uv's cache lacks is downloaded."""

import subprocess
import sys
from pathlib import Path

UV = Path(sys.executable).with_name("uv")


def environment(folder: Path, *install: str) -> Path:
    """The Python of a new environment in `folder`, with what `uv pip install` is told to install."""
    python = folder / "bin" / "python"
    _run("venv", "--quiet", "--python", sys.executable, str(folder))
    _run("pip", "install", "--quiet", "--python", str(python), *install)
    return python


def _run(*arguments: str) -> None:
    result = subprocess.run([UV, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
