"""The rooms of each package, from top to bottom, and the arrows between them: imports run downwards only."""

import ast
import graphlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PROGRAMS: Final = ("trainer", "server", "scorer")
PACKAGES: Final = ("server", "trainer", "scorer", "fovea")
LAYERS: Final[Mapping[str, tuple[str, ...]]] = {
    "server": (
        "__main__",
        "program",
        "lifecycle",
        "fronts",
        "http",
        "oip triton",
        "calls",
        "models net access",
        "rollout",
        "compute telemetry",
        "queue statuses",
        "background config errors",
        "choices rollout_options",
    ),
    "trainer": (
        "__main__",
        "taking_part",
        "job label_errors",
        "summary telling random_split",
        "release recipe",
        "preparation report",
        "fit explain truth compare labelling",
        "learning_rate evaluate resuming",
        "images network config",
        "ranks",
        "options progress tracking",
        "pages runs",
    ),
    "scorer": (
        "__main__",
        "cluster",
        "run",
        "console estimate",
        "planning committing",
        "scoring",
        "files config",
        "options",
    ),
    "fovea": (
        "publish client",
        "model ordered",
        "truth capture",
        "images stores entry settings logs tracing",
        "exits foreground command_line span_export",
        "stopping surroundings pages",
        "v1 oip errors frozen printable proxies daemons cpus malloc progress sticky",
    ),
}
"""A line is a layer. Its rooms, and modules at a package's root, import those of the lines below it alone."""


class Import(NamedTuple):
    """`module` imports `name`; both are dotted, `name` may be a thing inside a module."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module} imports {self.name}"


class Figures(NamedTuple):
    """How large a package is, and how entangled."""

    modules: int
    rooms: int
    arrows: int
    """Pairs of rooms of which one imports the other; a module at the root counts as a room."""
    single: int
    """Modules that exactly one other module of the package imports."""


def modules(package: str, root: Path = ROOT) -> list[Path]:
    return sorted((root / package).rglob("*.py"))


@cache
def imported(module: Path, root: Path = ROOT) -> tuple[str, ...]:
    """Every module that a file imports, or takes a thing from, also inside functions; each name absolute."""
    package = module.relative_to(root).with_suffix("").parts[:-1]
    names: list[str] = []
    for node in ast.walk(ast.parse(module.read_text(), str(module))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            prefix = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*prefix, node.module] if node.module else prefix)
            names += [f"{base}.{alias.name}" for alias in node.names]
    return tuple(names)


def dotted(module: Path, root: Path = ROOT) -> str:
    return ".".join(module.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def room(name: str) -> str:
    """The room, or the module at the root, that a dotted name lies in; empty for the package itself."""
    _, _, inside = name.partition(".")
    return inside.partition(".")[0]


def rooms(package: str, root: Path = ROOT) -> set[str]:
    """The rooms and the modules at the root of a package, as they lie on disk."""
    return {room(dotted(module, root)) for module in modules(package, root)} - {""}


def crossing(package: str, root: Path = ROOT) -> list[Import]:
    """The imports that lead from one room of a package into another."""
    names = {dotted(module, root): imported(module, root) for module in modules(package, root)}
    imports = [Import(module, name) for module, each in names.items() for name in each]
    inside = [each for each in imports if each.name.startswith(f"{package}.")]
    return [each for each in inside if room(each.name) != room(each.module)]


def wrong_ways(package: str, root: Path = ROOT) -> list[str]:
    """The imports that do not run downwards, each named."""
    layer = {name: depth for depth, names in enumerate(LAYERS[package]) for name in names.split()}
    return [
        str(each)
        for each in crossing(package, root)
        if not layer.get(room(each.module), -1) < layer.get(room(each.name), -1)
    ]


def importers(package: str, root: Path = ROOT) -> dict[str, set[str]]:
    """Each module of a package that another of it imports, with those that do."""
    known = {dotted(module, root) for module in modules(package, root)}
    uses: dict[str, set[str]] = {}
    for module in modules(package, root):
        for name in {_module_of(name, known) for name in imported(module, root)} - {dotted(module, root), ""}:
            uses.setdefault(name, set()).add(dotted(module, root))
    return uses


def circle(package: str, root: Path = ROOT) -> list[str]:
    """Modules of which each imports the next, and the last one the first; none where there is no circle."""
    try:
        graphlib.TopologicalSorter(importers(package, root)).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def unnamed(package: str, root: Path = ROOT) -> set[str]:
    """Modules that other rooms or packages import, and that their room's docstring does not name."""
    known = {dotted(module, root) for each in PACKAGES for module in modules(each, root)}
    used = {
        name
        for each in PACKAGES
        for module in modules(each, root)
        for name in (_module_of(name, known) for name in imported(module, root))
        if "_pb2" not in name
        and name.startswith(f"{package}.{room(name)}.")
        and _home(name) != _home(dotted(module, root))
    }
    return {name for name in used if f"`{name.rpartition('.')[2]}" not in _docstring(_home(name), root)}


def figures(package: str, root: Path = ROOT) -> Figures:
    written = [m for m in modules(package, root) if m.name != "__init__.py" and "_pb2" not in m.name]
    users = importers(package, root)
    return Figures(
        modules=len(written),
        rooms=sum((root / package / name).is_dir() for name in rooms(package, root)),
        arrows=len({(room(each.module), room(each.name)) for each in crossing(package, root)}),
        single=sum(len(users.get(dotted(module, root), ())) == 1 for module in written),
    )


def _home(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _docstring(room: str, root: Path) -> str:
    init = root / room.replace(".", "/") / "__init__.py"
    return ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""


def _module_of(name: str, known: set[str]) -> str:
    """The module of ours that a dotted name is, or is a thing of; empty where it is another's."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name
