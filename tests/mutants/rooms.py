"""The rooms whose tests `make mutants` puts to the test."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = (
    "server/queue",
    "server/calls",
    "fovea/model",
    "fovea/images",
    "scorer/committing",
    "scorer/planning",
    "trainer/release",
    "trainer/learning_rate",
)


@dataclass(frozen=True)
class Room:
    """A folder of modules, one of its modules or a line of one, and the tests that guard it."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    line: int | None = None

    @classmethod
    def named(cls, name: str, *tests: str) -> "Room":
        """`server/queue`, `server/queue/batcher.py` or `server/queue/batcher.py:57`. Raises ValueError."""
        path, _, line = name.partition(":")
        folder = path.rpartition("/")[0] if path.endswith(".py") else path.rstrip("/")
        modules = (path,) if path.endswith(".py") else tuple(_modules(folder))
        tests = tests or (f"tests/{folder}",)
        for needed in (*modules, *tests):
            if not (ROOT / needed).exists():
                raise ValueError(f"ROOM={name}: there is no {needed}")
        if not modules:
            raise ValueError(f"ROOM={name}: there is no module in {folder}")
        return cls(name, modules, tests, int(line) if line else None)


def _modules(folder: str) -> Iterator[str]:
    for module in sorted((ROOT / folder).rglob("*.py")):
        yield str(module.relative_to(ROOT))
