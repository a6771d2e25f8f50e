"""The pages that people read, and what the programs take."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from fovea.client import options as client_options
from fovea.command_line import flag
from fovea.settings import ProgramSettings, variable
from tests.markdown import Page
from tests.options_page import PROGRAMS

ROOT: Final = Path(__file__).parents[2]
_FILES: Final = (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/README.md"))
PAGES: Final = {str(file.relative_to(ROOT)): Page.read(file) for file in sorted(_FILES)}
SERVING, SCORING, IMAGES, BUCKETS = (
    PAGES[f"docs/{name}.md"] for name in ("serving", "scoring", "images", "buckets")
)
README: Final = PAGES["README.md"]
TARGETS: Final = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
CLIENT_FIELDS: Final = set(client_options.ClientOptions.__annotations__)


def settings_of(*programs: str) -> list[type[ProgramSettings]]:
    """Of all commands of these programs, or of all programs."""
    return [each for name in programs or PROGRAMS for each in PROGRAMS[name].values()]


def options_of(settings: Iterable[type[ProgramSettings]]) -> set[str]:
    """Every flag, those that turn a switch off too."""
    flags = {flag(name) for each in settings for name in each.model_fields}
    return flags | {"--help", "--json"} | {flag(f"no_{name.removeprefix('--')}") for name in flags}


def variables() -> set[str]:
    ours = {variable(each, name) for each in settings_of() for name in each.model_fields}
    return ours | {client_options.PREFIX + name.upper() for name in CLIENT_FIELDS}
