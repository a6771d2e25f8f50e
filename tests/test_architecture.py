"""docs/architecture.md says of the rooms what the code does."""

import re

from tests.architecture_page import PAGE, first_sentences, page
from tests.rooms import PACKAGES, ROOT, modules, unnamed

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_has_the_rooms_and_figures_of_today() -> None:
    assert page(TEXT) == TEXT, "docs/architecture.md is of other code: make architecture"


def test_every_room_says_what_it_is_for() -> None:
    rooms = [m for package in PACKAGES for m in modules(package) if m.name == "__init__.py"]
    assert [room for room in rooms if not first_sentences(room)] == []


def test_the_files_and_rooms_that_the_page_names_exist() -> None:
    named = set(re.findall(rf"\b((?:{'|'.join(PACKAGES)}|tests)/[\w./]*\w)", TEXT))
    assert len(named) > 15
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_a_room_names_the_modules_that_others_import() -> None:
    assert {name for package in PACKAGES for name in unnamed(package)} == set()
