"""Settings that are declared once: a field is a flag, an environment variable and a default.

A program's settings class derives from `ProgramSettings`; `load` reads it from the command line, then the
environment, then the defaults.
"""

import argparse
import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import BeforeValidator, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliPositionalArg,
    CliSettingsSource,
    NoDecode,
    SettingsConfigDict,
    SettingsError,
)

from fovea.errors import SettingsInvalid


def _split_at_commas(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_at_commas)]
"""A tuple that is written `a,b,c` on the command line and in the environment."""


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


PROGRAM_PREFIXES: Final = (
    *("FOVEA_TRAIN_", "FOVEA_SERVE_", "FOVEA_TRITON_"),
    *("FOVEA_SCORE_", "FOVEA_CLIENT_"),
)
"""Of the variables: one environment may hold the settings of several programs."""

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
    _refuse_unknown_variables([settings, *siblings], os.environ)
    try:
        command_line: CliSettingsSource[None] = CliSettingsSource(
            settings,
            cli_parse_args=list(arguments),
            cli_prog_name=program,
            formatter_class=_HelpFormatter,
            parse_args_method=partial(_parse_args, settings),
        )
        return settings(_cli_settings_source=command_line)
    except ValidationError as error:
        raise SettingsInvalid(_explain(settings, error)) from error
    except SettingsError as error:
        raise SettingsInvalid(_explain_command_line(settings, error, program)) from error


def _parse_args(
    settings: type[ProgramSettings],
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    namespace: argparse.Namespace | None = None,
) -> argparse.Namespace:
    parsed = parser.parse_args(arguments, namespace)
    for name, value in vars(parsed).items():
        if isinstance(value, list) and _is_positional(settings, name):
            # As JSON they are left alone; else a file called a,b.png would be taken for two.
            setattr(parsed, name, json.dumps(value))
    return parsed


_VALUES: Final = {"str": "TEXT", "int": "N", "float": "X", "Path": "PATH", "tuple[str,...]": "A,B,..."}


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """argparse's own, with a usage that fits a line and values that say what to write."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        positionals = [f"[{action.metavar}]" for action in actions if not action.option_strings]
        super().add_usage(" ".join(["%(prog)s [OPTIONS]", *positionals]), [], [], prefix)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        shown = super()._format_args(action, default_metavar)
        return re.sub(r"tuple\[str,...\]|\b(str|int|float|Path)\b", lambda type_: _VALUES[type_[0]], shown)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        # Where there is no default, the description tells what then holds.
        help_ = re.sub(r" \(default(: (None|\[\]|\(\)|)| factory: .*)\)$", "", action.help or "")
        return re.sub(r"(?<=\(default: )\((.*?),?\)(?=\)$)", _as_written, help_)


def _as_written(values: re.Match[str]) -> str:
    """A tuple's default as it would be given: `('a', 'b')` -> `a, b`."""
    return values[1].replace("'", "")


def flag(name: str) -> str:
    """`max_batch_size` -> `--max-batch-size`."""
    return "--" + name.replace("_", "-")


def variable(settings: type[ProgramSettings], name: str) -> str:
    """`max_batch_size` -> `FOVEA_SERVE_MAX_BATCH_SIZE`."""
    return (settings.model_config.get("env_prefix", "") + name).upper()


def choose_command(
    commands: Mapping[str, str], arguments: Sequence[str], program: str
) -> tuple[str, list[str]]:
    """The first argument as one of `commands` (name -> one line of help), and the arguments after it.

    Without a command, or with `--help`, the list of commands is printed.
    Raises SettingsInvalid for a name that is not a command.
    """
    if arguments and arguments[0] in commands:
        return arguments[0], list(arguments[1:])
    if arguments and arguments[0] in {"-h", "--help"}:
        print(_command_help(commands, program))
        raise SystemExit(0)
    given = f"there is no command {arguments[0]!r}" if arguments else "a command is missing"
    there_are = "the command is" if len(commands) == 1 else "the commands are"
    raise SettingsInvalid(f"{program}: {given}; {there_are} {', '.join(commands)}")


def _command_help(commands: Mapping[str, str], program: str) -> str:
    width = max(map(len, commands))
    lines = [f"  {name.ljust(width)}  {text}" for name, text in commands.items()]
    return "\n".join(
        [f"usage: {program} COMMAND [OPTIONS]", "", *lines, "", f"`{program} COMMAND --help` tells more."]
    )


def _refuse_unknown_variables(
    classes: Sequence[type[ProgramSettings]], environment: Mapping[str, str]
) -> None:
    prefix = classes[0].model_config.get("env_prefix", "")
    known = {variable(cls, name) for cls in classes for name in cls.model_fields}
    others = tuple(other for other in PROGRAM_PREFIXES if other != prefix)
    for name in sorted(environment):
        given = name.upper()
        if not given.startswith("FOVEA_") or given.startswith(others) or given in known:
            continue
        start = prefix if given.startswith(prefix) else "FOVEA_"
        near = _did_you_mean(given.removeprefix(start), known, prefix)
        raise SettingsInvalid(f"environment variable {name} is not a setting{near}")


def _explain(settings: type[ProgramSettings], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    text = _WORDING.get(first["type"], first["msg"].removeprefix("Value error, "))
    if not first["loc"]:
        return text
    name = str(first["loc"][0])
    if first["type"] == "missing" or (_is_positional(settings, name) and not first["input"]):
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


def _is_positional(settings: type[ProgramSettings], name: str) -> bool:
    return name in settings.model_fields and _POSITIONAL in settings.model_fields[name].metadata


def _names(settings: type[ProgramSettings], name: str) -> str:
    """Both ways to give a setting: `--top-k (or FOVEA_SCORE_TOP_K)`."""
    shown = name.upper() if _is_positional(settings, name) else flag(name)
    return f"{shown} (or {variable(settings, name)})"


def _explain_command_line(settings: type[ProgramSettings], error: SettingsError, program: str) -> str:
    text = str(error).removeprefix("error parsing CLI: ")
    marker = "unrecognized arguments: "
    if text.startswith(marker):
        given = text.removeprefix(marker).split()[0]
        if not given.startswith("-"):
            return f"{program}: there is an argument too many: {given!r} (see {program} --help)"
        near = _did_you_mean(given.split("=")[0].lstrip("-"), _options(settings), "--")
        return f"{program} has no option {given}{near}"
    return f"{text} (see {program} --help)"


def _options(settings: type[ProgramSettings]) -> list[str]:
    """Every flag, by its short name too."""
    shortcuts = settings.model_config.get("cli_shortcuts") or {}
    short = [name for names in shortcuts.values() for name in ([names] if isinstance(names, str) else names)]
    return [flag(name) for name in (*settings.model_fields, *short)]


def _did_you_mean(given: str, known: Iterable[str], prefix: str) -> str:
    """Compares what follows the `prefix` that all of `known` share, for that alone makes names look alike."""
    near = difflib.get_close_matches(given, [name.removeprefix(prefix) for name in known], n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def _help(settings: type[ProgramSettings], name: str) -> str:
    return settings.model_fields[name].description or ""


def as_saved(settings: ProgramSettings) -> dict[str, Any]:
    """The effective settings as JSON-ready values, to be saved with what they made."""
    return settings.model_dump(mode="json")
