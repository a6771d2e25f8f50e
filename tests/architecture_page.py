"""Writes what docs/architecture.md says of the code: the rooms from top to bottom, and the figures.

`make architecture` writes them into the page; tests/test_architecture.py compares. With a folder, `python -m
tests.architecture_page FOLDER` prints the figures of the tree that lies there, such as an earlier commit's.
"""

import ast
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.rooms import LAYERS, PACKAGES, ROOT, Figures, figures

PAGE: Final = ROOT / "docs" / "architecture.md"
BEFORE: Final[Mapping[str, Figures]] = {
    "server": Figures(modules=62, rooms=2, arrows=125, single=23),
    "trainer": Figures(modules=93, rooms=3, arrows=195, single=44),
    "scorer": Figures(modules=54, rooms=1, arrows=185, single=20),
    "fovea": Figures(modules=61, rooms=2, arrows=145, single=24),
}
"""Of commit 4c26189, the last one before there were rooms."""


def page(text: str) -> str:
    """The page, with all that the code says put in anew between its marks."""
    parts = {f"rooms of {package}": rooms_table(package) for package in PACKAGES}
    for name, part in {**parts, "figures": figures_table()}.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marked.search(text):
            raise ValueError(f"docs/architecture.md has no mark for the {name}")
        text = marked.sub(lambda mark, part=part: f"{mark[1]}{part}{mark[2]}", text)  # type: ignore[misc]
    return text


def rooms_table(package: str) -> str:
    """Each room with what its package says of itself. Those of one layer do not import each other."""
    lines = ["| layer | room | what it is |", "|---|---|---|"]
    for number, layer in enumerate(LAYERS[package], 1):
        for room in layer.split():
            name, source = f"{room}.py", ROOT / package / f"{room}.py"
            if not source.exists():
                name, source = f"{room}/", ROOT / package / room / "__init__.py"
            lines.append(f"| {number} | `{name}` | {first_sentences(source)} |")
    return "\n".join([*lines, ""])


def first_sentences(module: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", r"\|")


def figures_table() -> str:
    lines = [
        "| package | modules | rooms | arrows between rooms | modules with one importer |",
        "|---|---|---|---|---|",
    ]
    for package in PACKAGES:
        pairs = zip(BEFORE[package], figures(package), strict=True)
        lines.append(" | ".join([f"| `{package}`", *(f"{was} → {now}" for was, now in pairs)]) + " |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    if sys.argv[1:]:
        for package in PACKAGES:
            print(package, *figures(package, Path(sys.argv[1]).resolve()))
    else:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
