"""Which checkout of the project is measured: this one, or an older one beside it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.processes import output_of
from fovea.errors import SettingsInvalid

ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Build:
    """A checkout, and the Python that runs it."""

    folder: Path
    python: Path

    @property
    def name(self) -> str:
        """Its commit, or its folder's name where that is no checkout of its own."""
        if not (self.folder / ".git").exists():
            return self.folder.name
        command = ["git", "-C", str(self.folder), "describe", "--always", "--dirty"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return result.stdout.strip() or self.folder.name

    def command(self, module: str, *arguments: str) -> list[str]:
        """Of one of its own modules; to be run in its folder."""
        return [str(self.python), "-m", module, *arguments]

    def run_script(self, script: str, *arguments: str) -> str:
        """What a script of *this* checkout's benchmarks prints when it imports the packages of that build."""
        command: Sequence[str | Path] = [self.python, "-P", Path(__file__).with_name(script), *arguments]
        return output_of(command, folder=self.folder, environment=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """In which its packages come before those that the Python has installed."""
        return os.environ | {"PYTHONPATH": str(self.folder)}


THIS: Final = Build(ROOT, Path(sys.executable))


def other_build(folder: Path) -> Build:
    """A checkout, with its own environment where it has one, or else this one. Raises SettingsInvalid."""
    folder = folder.resolve()
    if not (folder / "server" / "__main__.py").is_file():
        raise SettingsInvalid(f"{folder}: no checkout of this project: make .builds/COMMIT brings one")
    own = folder / ".venv" / "bin" / "python"
    return Build(folder, own if own.exists() else THIS.python)
