"""Settings that are declared once: a field is a flag, an environment variable and a default.

A program's settings class derives from `ProgramSettings`; `load` reads it from the command line, then the
environment, then the defaults.
"""

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated, Final, TypeVar, get_args

from pydantic import BeforeValidator, JsonValue, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliPositionalArg,
    CliSettingsSource,
    NoDecode,
    SettingsConfigDict,
    SettingsError,
)

from fovea.command_line import HelpFormatter, explained, flag, refuse_unknown_variables
from fovea.errors import SettingsInvalid


def _split_at_commas(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_at_commas)]
"""A tuple that is written `a,b,c` on the command line and in the environment."""
NumbersCommaSeparated = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_split_at_commas)]
"""The same, of whole numbers: `128,224`."""
EACH_WHOLE: Final = "each whole"
"""In the annotation of a tuple's field: the option is given again for each value, and none is cut at its
commas. From the command line they come as a JSON list where they could be cut, for the field's validator."""


class ProgramSettings(BaseSettings):
    """Base of every program's settings: frozen, kebab-case flags, no unknown names."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_exit_on_error=False,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )


SavedSettings = dict[str, JsonValue]
"""Options by their names, as JSON has them."""

S = TypeVar("S", bound=ProgramSettings)


def load(
    settings: type[S], arguments: Sequence[str], program: str, siblings: Iterable[type[ProgramSettings]] = ()
) -> S:
    """Reads `settings` from `arguments`, the environment and the defaults, in that order of precedence.

    `program` is what the help calls the command. `siblings` are the settings classes of the program's other
    commands: their variables share the prefix, so they are known names here too.
    Raises SettingsInvalid, with one line that names the option, what is wrong and what is allowed.
    `--help` prints and raises SystemExit(0).
    """
    classes: list[type[ProgramSettings]] = [settings, *siblings]
    known = [variable(each, name) for each in classes for name in each.model_fields]
    refuse_unknown_variables(os.environ, settings.model_config.get("env_prefix", ""), known)
    try:
        command_line: CliSettingsSource[None] = CliSettingsSource(
            settings,
            cli_parse_args=list(arguments),
            cli_prog_name=program,
            formatter_class=HelpFormatter,
            parse_args_method=partial(_parse_args, settings),
        )
        return settings(_cli_settings_source=command_line)
    except ValidationError as error:
        raise SettingsInvalid(_explain(settings, error)) from error
    except SettingsError as error:
        complaint = str(error).removeprefix("error parsing CLI: ")
        raise SettingsInvalid(explained(complaint, _flags(settings), program)) from error


def _parse_args(
    settings: type[ProgramSettings],
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    namespace: argparse.Namespace | None = None,
) -> argparse.Namespace:
    parsed = parser.parse_args(arguments, namespace)
    for name, value in vars(parsed).items():
        if not isinstance(value, list):
            continue
        # As JSON they are left alone; else a file called a,b.png would be taken for two.
        if is_positional(settings, name):
            setattr(parsed, name, json.dumps(value))
        elif _is_each_whole(settings, name):
            is_plain = len(value) == 1 and "," not in value[0]
            setattr(parsed, name, value[0] if is_plain else json.dumps(value))
    return parsed


def _is_each_whole(settings: type[ProgramSettings], name: str) -> bool:
    return name in settings.model_fields and EACH_WHOLE in settings.model_fields[name].metadata


def variable(settings: type[ProgramSettings], name: str) -> str:
    """`max_batch_size` -> `FOVEA_SERVE_MAX_BATCH_SIZE`."""
    return (settings.model_config.get("env_prefix", "") + name).upper()


def _explain(settings: type[ProgramSettings], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    text = _WORDING.get(first["type"], first["msg"].removeprefix("Value error, "))
    if not first["loc"]:
        return text
    name = str(first["loc"][0])
    if first["type"] == "missing" or (is_positional(settings, name) and not first["input"]):
        return f"{_names(settings, name)} is missing: {_help(settings, name)}"
    return f"{_names(settings, name)}: {text[0].lower() + text[1:]}, not {first['input']!r}"


_WORDING: Final = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "should be a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "should be a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "should be true or false"),
    "finite_number": "should be a finite number",
}
"""By pydantic's type of the error; its other messages are plain enough."""

_POSITIONAL: Final = get_args(CliPositionalArg[str])[1]


def is_positional(settings: type[ProgramSettings], name: str) -> bool:
    return name in settings.model_fields and _POSITIONAL in settings.model_fields[name].metadata


def _names(settings: type[ProgramSettings], name: str) -> str:
    """Both ways to give a setting: `--top-k (or FOVEA_SCORE_TOP_K)`."""
    spelling = name.upper() if is_positional(settings, name) else flag(name)
    return f"{spelling} (or {variable(settings, name)})"


def _flags(settings: type[ProgramSettings]) -> list[str]:
    """Every flag, by its short name too."""
    shortcuts = settings.model_config.get("cli_shortcuts") or {}
    short = [name for names in shortcuts.values() for name in ([names] if isinstance(names, str) else names)]
    return [flag(name) for name in (*settings.model_fields, *short)]


def _help(settings: type[ProgramSettings], name: str) -> str:
    return settings.model_fields[name].description or ""


def as_saved(settings: ProgramSettings) -> SavedSettings:
    """The effective settings, to be saved with what they made."""
    return settings.model_dump(mode="json")
