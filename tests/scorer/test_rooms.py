"""Each room of the scorer names what the others take from it."""

import ast
import re
from pathlib import Path

import pytest

from tests.rooms import ROOT, crossing, room

ROOMS = sorted(path.parent for path in (ROOT / "scorer").glob("*/__init__.py"))


@pytest.mark.parametrize("folder", ROOMS, ids=lambda folder: folder.name)
def test_a_room_names_what_other_rooms_import(folder: Path) -> None:
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    named = set(re.findall(r"`([\w.]+)`", docstring))
    imports = [each.name for each in crossing("scorer") if room(each.name) == folder.name]
    things = {".".join(name.split(".")[2:]) for name in imports}
    if not any("." in name for name in named):  # by its modules alone, where they are all for others
        things = {thing.partition(".")[0] for thing in things}
    assert named == things
