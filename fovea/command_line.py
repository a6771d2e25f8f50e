"""What is said of a command line and an environment, whichever library reads them."""

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from fovea.errors import SettingsInvalid

PROGRAM_PREFIXES: Final = (
    *("FOVEA_TRAIN_", "FOVEA_SERVE_", "FOVEA_TRITON_", "FOVEA_ACCESS_"),
    *("FOVEA_SCORE_", "FOVEA_CLIENT_", "FOVEA_PUBLISH_"),
)
"""Of the variables: one environment may hold the settings of several programs."""


def flag(name: str) -> str:
    """`max_batch_size` -> `--max-batch-size`."""
    return "--" + name.replace("_", "-")


def refuse_unknown_variables(environment: Mapping[str, str], prefix: str, known: Iterable[str]) -> None:
    """Raises SettingsInvalid for a variable that is no setting of the program, nor of another."""
    others = tuple(other for other in PROGRAM_PREFIXES if other != prefix)
    known = set(known)
    for name in sorted(environment):
        variable = name.upper()
        if not variable.startswith("FOVEA_") or variable.startswith(others) or variable in known:
            continue
        start = prefix if variable.startswith(prefix) else "FOVEA_"
        near = _did_you_mean(variable.removeprefix(start), known, prefix)
        raise SettingsInvalid(f"environment variable {name} is not a setting{near}")


def explained(complaint: str, flags: Iterable[str], program: str) -> str:
    """What argparse complains of, with what may have been meant or where to look."""
    marker = "unrecognized arguments: "
    if complaint.startswith(marker):
        argument = complaint.removeprefix(marker).split()[0]
        if not argument.startswith("-"):
            return f"{program}: there is an argument too many: {argument!r} (see {program} --help)"
        if (name := argument.split("=")[0]) in (flags := list(flags)):
            return f"{program}: what {name} says is given without that name (see {program} --help)"
        near = _did_you_mean(name.lstrip("-"), flags, "--")
        return f"{program} has no option {argument}{near}"
    return f"{complaint} (see {program} --help)"


def _did_you_mean(word: str, known: Iterable[str], prefix: str) -> str:
    """Compares what follows the `prefix` that all of `known` share, for that alone makes names look alike."""
    near = difflib.get_close_matches(word, [name.removeprefix(prefix) for name in known], n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


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
    complaint = f"there is no command {arguments[0]!r}" if arguments else "a command is missing"
    there_are = "the command is" if len(commands) == 1 else "the commands are"
    raise SettingsInvalid(f"{program}: {complaint}; {there_are} {', '.join(commands)}")


def _command_help(commands: Mapping[str, str], program: str) -> str:
    width = max(map(len, commands))
    lines = [f"  {name.ljust(width)}  {text}" for name, text in commands.items()]
    return "\n".join(
        [f"usage: {program} COMMAND [OPTIONS]", "", *lines, "", f"`{program} COMMAND --help` tells more."]
    )


_VALUES: Final = {
    "str": "TEXT",
    "int": "N",
    "float": "X",
    "Path": "PATH",
    "tuple[str,...]": "A,B,...",
    "tuple[int,...]": "N,N,...",
    "Sequence[str]": "TEXT",
}


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
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
        text = super()._format_args(action, default_metavar)
        return re.sub(
            r"tuple\[(?:str|int),...\]|Sequence\[str\]|\b(str|int|float|Path)\b",
            lambda type_: _VALUES[type_[0]],
            text,
        )

    def _get_help_string(self, action: argparse.Action) -> str | None:
        # Where there is no default, the description tells what then holds.
        help_ = re.sub(r" \(default(: (None|\[\]|\(\)|)| factory: .*)\)$", "", action.help or "")
        return re.sub(r"(?<=\(default: )\((.*?),?\)(?=\)$)", _as_written, help_)


def _as_written(values: re.Match[str]) -> str:
    """A tuple's default as it would be given: `('a', 'b')` -> `a, b`."""
    return values[1].replace("'", "")
