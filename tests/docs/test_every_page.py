"""What every page promises: commands are taken, options and variables exist, links lead somewhere."""

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import pytest

from fovea.client import options as client_options
from fovea.command_line import flag
from fovea.settings import ProgramSettings, load
from scorer.config import RunSettings
from server.config import ServeSettings
from server.http.query import OPTIONS
from server.http.routes import http_server
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel
from server.net.health import Health
from server.oip.service import InferenceService
from server.queue.priorities import Admission
from server.telemetry.call_metrics import OwnCallMetrics
from tests.docs.pages import (
    CLIENT_FIELDS,
    PAGES,
    ROOT,
    SCORING,
    TARGETS,
    options_of,
    settings_of,
    variables,
)
from tests.markdown import Page, amount, options_in, simple_commands
from tests.options_page import PROGRAMS
from trainer.config import TrainSettings

OF_OTHERS = {
    "README.md": {"--user"},
    "docs/kubernetes.md": {"--local", "--raw"},
    "docs/benchmarks.md": {
        *("--work", "--peer", "--only", "--seconds", "--build", "--model", "--rounds", "--source", "--flame"),
    },
    "docs/options.md": {"--no-"},
    "docs/truth.md": {"--photographs", "--sets", "--seeds", "--cost"},
}
"""Options of pip, kubectl and the benchmarks; and how those begin that turn a switch off."""
PROGRAM_OF: dict[str, type[ProgramSettings]] = {
    "docs/training.md": TrainSettings,
    "docs/serving.md": ServeSettings,
    "docs/scoring.md": RunSettings,
}


def test_programs_take_the_commands_of_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, set[str]] = {}
    for name, page in PAGES.items():
        for words in commands_in(page):
            program, rest = f"python -m {words[2]}", words[3:]
            if program in PROGRAMS:
                command = rest.pop(0) if "" not in PROGRAMS[program] else ""
                siblings = PROGRAMS[program].values()
                assert load(PROGRAMS[program][command], rest, program, siblings), (name, words)
                taken.setdefault(program, set()).add(command)
            elif program == client_options.PROGRAM:
                assert client_options.load(rest, {}), (name, words)
            else:
                assert find_spec(words[2]), (name, words)
    assert taken["python -m scorer"] == set(PROGRAMS["python -m scorer"])
    assert taken["python -m trainer"] == set(PROGRAMS["python -m trainer"])
    assert {"python -m server", "python -m server.triton", "python -m fovea.publish"} <= set(taken)


def commands_in(page: Page) -> Iterator[list[str]]:
    """`python -m ...`, alone or at the end of another command."""
    for words in chain.from_iterable(map(simple_commands, page.commands)):
        for at, word in enumerate(words[:-1]):
            if word.rpartition("/")[2] == "python" and words[at + 1] == "-m":
                yield words[at:]
                break


def test_paths_that_a_page_asks_by_curl_are_answered() -> None:
    paths = [re.sub(r"\{\w+\}", "[^/]+", path) for path in answered_paths()]
    for name, page in PAGES.items():
        for words in chain.from_iterable(map(simple_commands, page.commands)):
            for url in (urlsplit(word) for word in words if words[0] == "curl" and word.startswith("http")):
                assert any(re.fullmatch(path, url.path) for path in paths), (name, words)
                assert {option for option, _ in parse_qsl(url.query)} <= set(OPTIONS), (name, words)


def answered_paths() -> set[str]:
    """Those of protocols that openapi.json leaves to others, too."""
    settings, models = ServeSettings(models="models/pets"), Catalogue[ServedModel]()
    inference = cast("InferenceService", None)
    admission, metrics = Admission(1, 1), OwnCallMetrics(None)
    server = http_server(settings, None, models, admission, metrics, lambda _: inference, Health())
    routes = server._runner.app.router.routes()
    return {route.resource.canonical for route in routes if route.resource}


def test_options_that_a_page_names_exist() -> None:
    known = options_of(settings_of()) | {flag(name) for name in CLIENT_FIELDS}
    for name, page in PAGES.items():
        if name != "CHANGELOG.md":  # which tells of options that were
            named = {option for code in page.code for option in options_in(code)}
            assert named - OF_OTHERS.get(name, set()) - known == set(), name


def test_options_that_a_programs_page_names_are_the_programs() -> None:
    for name, programs in {
        "docs/training.md": ["python -m trainer"],
        "docs/serving.md": ["python -m server", "python -m server.access", "python -m server.triton"],
        "docs/scoring.md": ["python -m scorer"],
    }.items():
        named = {option for code in PAGES[name].code for option in options_in(code)}
        assert named - {"--from"} - options_of(settings_of(*programs)) == set(), name


def test_every_option_of_the_scorer_is_on_its_page() -> None:
    named = {option for code in [*SCORING.code, *SCORING.commands] for option in options_in(code)}
    fields = {name for settings in settings_of("python -m scorer") for name in settings.model_fields}
    assert {flag(name) for name in fields - {"source"}} - named == set()


def test_variables_that_a_page_names_exist() -> None:
    for name, page in PAGES.items():
        written = [*page.code, *page.fences("bash"), *page.fences("yaml")]
        named = {variable for code in written for variable in re.findall(r"\bFOVEA_[A-Z_]*[A-Z]\b", code)}
        assert named - variables() == set(), name


def test_defaults_in_tables_are_the_options_own() -> None:
    for name, settings in PROGRAM_OF.items():
        rows = [row for table in PAGES[name].tables("option", "default") for row in table]
        assert rows, name
        for row in rows:
            (option,) = row["option"].code
            default = settings.model_fields[option.removeprefix("--").replace("-", "_")].default
            stated = row["default"].text
            if isinstance(default, int | float):
                assert amount(stated) == pytest.approx(default), (name, option)
            else:
                assert stated == (default or "none"), (name, option)


def test_links_lead_to_files_and_headings() -> None:
    for name, page in PAGES.items():
        for link in page.links:
            path, _, heading = link.partition("#")
            if path.startswith(("http:", "https:")):
                continue
            file = (ROOT / name).parent / path if path else ROOT / name
            assert file.exists(), (name, link)
            if heading:
                assert heading in anchors(file), (name, link)


@cache
def anchors(file: Path) -> set[str]:
    return set(map(anchor, Page.read(file).headings))


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_targets_of_make_that_a_page_names_exist() -> None:
    for name, page in PAGES.items():
        written = [code for code in [*page.code, *page.commands] if "make " in code]
        commands = [words for code in written for words in simple_commands(code) if words[0] == "make"]
        named = {word for words in commands for word in words[1:] if re.fullmatch("[a-z][a-z-]*", word)}
        assert named - TARGETS == set(), name
