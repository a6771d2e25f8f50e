"""Prints docs/options.md: every option of every program, as the settings classes declare it.

`make options` writes the page; tests/test_options_page.py compares it.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic.fields import FieldInfo

from fovea import publish
from fovea.client import options as client_options
from fovea.client.options import ClientOptions
from fovea.command_line import flag
from fovea.publish import PublishSettings
from fovea.settings import ProgramSettings, is_positional, variable
from scorer.__main__ import COMMANDS as SCORER
from server.access.__main__ import PROGRAM as ACCESS_PROGRAM
from server.access.__main__ import AccessSettings
from server.config import PROGRAM as SERVER_PROGRAM
from server.config import ServeSettings
from server.triton.config import PROGRAM as TRITON_PROGRAM
from server.triton.config import TritonSettings
from trainer.__main__ import SETTINGS as TRAINER

PROGRAMS: Final[Mapping[str, Mapping[str, type[ProgramSettings]]]] = {
    "python -m trainer": TRAINER,
    SERVER_PROGRAM: {"": ServeSettings},
    TRITON_PROGRAM: {"": TritonSettings},
    ACCESS_PROGRAM: {"": AccessSettings},
    "python -m scorer": {name: command.settings for name, command in SCORER.items()},
    publish.PROGRAM: {"": PublishSettings},
}
INTRODUCTION: Final = """\
# Options

<!-- Written by `make options` from the settings classes: change those. -->

A flag goes before its variable, a variable before the default. A switch is turned off by `--no-`
(`--no-wait-for-model`), or by `false` in its variable. Where there is no default, the description tells what
then holds. `--help` of a program or command lists the same.
"""


class Row(NamedTuple):
    """One option of a program, as one line of its table."""

    option: str
    variable: str
    default: str
    description: str


def page() -> str:
    """The whole page, in Markdown."""
    sections = [*map(_section, PROGRAMS, PROGRAMS.values()), _client_section()]
    return "\n".join([INTRODUCTION, *sections])


def _section(program: str, commands: Mapping[str, type[ProgramSettings]]) -> str:
    takers: dict[Row, list[str]] = {}
    for command, settings in commands.items():
        for row in _rows(settings):
            takers.setdefault(row, []).append(command)
    return _table(program, takers.items(), len(commands))


def _rows(settings: type[ProgramSettings]) -> Iterator[Row]:
    shortcuts: Mapping[str, Any] = settings.model_config.get("cli_shortcuts") or {}
    for name, field in settings.model_fields.items():
        positional = is_positional(settings, name)
        spelling = name.upper() if positional else _flags(name, shortcuts.get(name.replace("_", "-")))
        yield Row(spelling, variable(settings, name), _default(field, positional), field.description or "")


def _flags(name: str, short: str | None) -> str:
    return ", ".join(flag(each) for each in (name, short) if each)


def _default(field: FieldInfo, positional: bool) -> str:
    if field.is_required() or (positional and field.default == ""):
        return "required"
    return "" if field.default_factory else _written(field.default)


def _written(value: object) -> str:
    """As it would be given on a command line; empty where there is none."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        value = ",".join(value)
    return "" if value in (None, "") else f"`{value}`"


def _client_section() -> str:
    rows = (
        Row(
            field.name.upper() if field.name == "images" else _flags(field.name, field.metadata["short"]),
            client_options.PREFIX + field.name.upper(),
            _written(field.default),
            field.metadata["help"],
        )
        for field in dataclasses.fields(ClientOptions)
    )
    return _table(client_options.PROGRAM, ((row, [""]) for row in rows), 1)


def _table(program: str, rows: Iterable[tuple[Row, list[str]]], commands: int) -> str:
    lines = [f"## `{program}`", "", "| option | variable | default | what it is |", "|---|---|---|---|"]
    for row, takers in rows:
        only = f" ({', '.join(f'`{name}`' for name in takers)})" if len(takers) < commands else ""
        description = row.description.removesuffix(" (required)").replace("|", r"\|").replace("*", r"\*")
        lines.append(f"| `{row.option}` | `{row.variable}` | {row.default} | {description}{only} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    (Path(__file__).parents[1] / "docs" / "options.md").write_text(page(), encoding="utf-8")
