"""docs/options.md is what the settings classes declare, and what `--help` lists."""

import re
from pathlib import Path

import pytest

from fovea.client import options as client_options
from fovea.command_line import PROGRAM_PREFIXES
from fovea.settings import load
from tests.markdown import Page
from tests.options_page import PROGRAMS, page

ROOT = Path(__file__).parents[1]
PAGE = Page.read(ROOT / "docs" / "options.md")


def test_the_page_is_what_make_options_writes() -> None:
    assert page() == PAGE.text, "docs/options.md is of other options than the settings: make options"


def test_every_option_that_help_lists_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    sections = {heading.strip("`"): PAGE.section(heading) for heading in PAGE.headings[1:]}
    for program, commands in PROGRAMS.items():
        listed = set()
        for command, settings in commands.items():
            with pytest.raises(SystemExit):
                load(settings, ["--help"], f"{program} {command}")
            listed |= options_of_help(capsys)
        assert listed == options_of(sections.pop(program)), program
    with pytest.raises(SystemExit):
        client_options.load(["--help"], {})
    assert options_of_help(capsys) == options_of(sections.pop(client_options.PROGRAM))
    assert sections == {}


def test_no_program_refuses_the_variables_of_another() -> None:
    prefixes = {
        settings.model_config["env_prefix"]
        for commands in PROGRAMS.values()
        for settings in commands.values()
    }
    assert prefixes | {client_options.PREFIX} == set(PROGRAM_PREFIXES)


def options_of_help(capsys: pytest.CaptureFixture[str]) -> set[str]:
    lines = re.findall(r"^  (-.*?)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    flags = {flag for line in lines for flag in re.findall(r"--[a-z0-9-]+", line)}
    return {flag for flag in flags if "--" + flag.removeprefix("--no-") not in flags - {flag}} - {"--help"}


def options_of(section: Page) -> set[str]:
    names = (
        name for row in section.table("option") for code in row["option"].code for name in code.split(", ")
    )
    return {name for name in names if name.startswith("--")}
