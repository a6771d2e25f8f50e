"""Which files of the repository run between two moments, in a program and in every process that it starts.

The program is started with a `sitecustomize` that calls `watch`. Whether it watches is one byte of a file
that all of its processes map; each appends the names of the files that it sees.
"""

import mmap
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("fovea", "server", "scorer", "trainer")

_FOLDER: Final = "CROSSINGS_FOLDER"
_BETWEEN: Final = "CROSSINGS_BETWEEN"
_SITE: Final = "from benchmarks import crossings\ncrossings.watch()\n"


@dataclass(frozen=True)
class Between:
    """From the call of a function to the next one of it."""

    function: str
    file: str
    """How the path of its file ends."""
    call: int
    """Counted from 1."""

    def __str__(self) -> str:
        return f"{self.function} {self.file} {self.call}"


class Crossings:
    """What is seen of a program, in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(_SITE)
        (folder / "open").write_bytes(b"\0")
        (folder / "seen").touch()
        self._folder = folder

    def environment(self, between: Between | None = None) -> dict[str, str]:
        """For the program. Without `between` it is `open` and `close` that tell the moments."""
        paths = os.pathsep.join((str(self._folder), str(ROOT)))
        moments = {} if between is None else {_BETWEEN: str(between)}
        return {**os.environ, "PYTHONPATH": paths, _FOLDER: str(self._folder), **moments}

    def open(self) -> None:
        (self._folder / "open").open("r+b").write(b"\1")

    def close(self) -> None:
        (self._folder / "open").open("r+b").write(b"\0")

    def files(self) -> dict[str, set[str]]:
        """Of each file that ran, by its path in the repository, the processes in which it did."""
        seen: dict[str, set[str]] = {}
        for line in (self._folder / "seen").read_text().splitlines():
            process, _, file = line.partition(" ")
            seen.setdefault(file, set()).add(process)
        return seen


def watch() -> None:
    """Has every step of Python in this process looked at, from now on, in all of its threads."""
    if _FOLDER not in os.environ:
        return
    watcher = _Watcher(Path(os.environ[_FOLDER]), os.environ.get(_BETWEEN, ""))
    threading.setprofile(watcher.look)
    sys.setprofile(watcher.look)


class _Watcher:
    def __init__(self, folder: Path, between: str) -> None:
        with (folder / "open").open("r+b") as file:
            self._open = mmap.mmap(file.fileno(), 1)
        self._seen = (folder / "seen").open("a", buffering=1)
        self._known: set[tuple[int, str]] = set()
        self._function, self._file, call = between.split() if between else ("", "", "0")
        self._calls_before = int(call) - 1

    def look(self, frame: FrameType, event: str, argument: object) -> None:
        """Called for each call and return; also of a frame that was there before, when it goes on."""
        code = frame.f_code
        if code.co_name == self._function and event == "call" and code.co_filename.endswith(self._file):
            self._open[0] = self._calls_before == 0
            self._calls_before -= 1
        if self._open[0]:
            self._note(code.co_filename)

    def _note(self, path: str) -> None:
        process = os.getpid()
        if (process, path) not in self._known:
            self._known.add((process, path))
            file = Path(path)
            if file.is_relative_to(ROOT) and file.relative_to(ROOT).parts[0] in PACKAGES:
                self._seen.write(f"{process} {file.relative_to(ROOT)}\n")
