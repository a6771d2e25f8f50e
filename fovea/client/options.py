"""What `python -m fovea.client` can be told: each option is a flag, a variable and a default, declared once.

As fovea.settings has it for the programs, but without pydantic, which a caller need not have.
"""

import argparse
import dataclasses
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from fovea.client.channel import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S
from fovea.client.request import WANTS, Want
from fovea.command_line import HelpFormatter, explained, flag, refuse_unknown_variables
from fovea.errors import SettingsInvalid

PROGRAM: Final = "python -m fovea.client"
PREFIX: Final = "FOVEA_CLIENT_"
LARGEST_PORT: Final = 65_535

Parse = Callable[[str], Any]
"""Makes a value of what was written. Raises ValueError, which says what it should be."""


def option(default: Any, help_: str, parse: Parse, value: str | None = None, short: str | None = None) -> Any:
    """A field of ClientOptions; a switch without a `value` to be written. `short` is one more name of it."""
    metadata = {"help": help_, "parse": parse, "value": value, "short": short}
    return dataclasses.field(default=default, metadata=metadata)


def _whole(least: int, most: int) -> Parse:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError("should be a whole number") from None
        if number < least:
            raise ValueError(f"input should be greater than or equal to {least}")
        if number > most:
            raise ValueError(f"input should be less than or equal to {most}")
        return number

    return parse


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError("should be a number") from None
    if not math.isfinite(seconds):
        raise ValueError("should be a finite number")
    if seconds <= 0:
        raise ValueError("input should be greater than 0")
    if seconds > MAX_TIMEOUT_S:
        raise ValueError(f"input should be less than or equal to {MAX_TIMEOUT_S:.0f}")
    return seconds


_SWITCH: Final = {
    **dict.fromkeys(("true", "1", "on", "yes", "t", "y"), True),
    **dict.fromkeys(("false", "0", "off", "no", "f", "n"), False),
}


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise ValueError("should be true or false")
    return _SWITCH[text.lower()]


def _address(text: str) -> str:
    # gRPC's own schemes have three slashes (dns:///HOST:PORT) or none, or say which DNS server to ask.
    if ":" not in text or re.search(r"\s|(?<!^dns)://(?!/)", text):
        raise ValueError("the server's address is HOST:PORT, without http://")
    port = _port(text)
    if port is not None and not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= LARGEST_PORT):
        raise ValueError(f"the port in HOST:PORT is a number from 1 to {LARGEST_PORT}")
    return text


def _port(target: str) -> str | None:
    """What follows the host; None where gRPC's scheme knows no port, or does without (dns:///HOST)."""
    scheme, _, rest = target.partition(":")
    if scheme in _SCHEMES_WITHOUT_PORT:
        return None
    address = re.sub("^//[^/]*/", "", rest) if scheme == "dns" else target
    return address.rpartition(":")[2] if re.search(r":[^\]]*$", address) else None


_SCHEMES_WITHOUT_PORT: Final = {"unix", "unix-abstract", "vsock", "xds"}


def _names(text: str) -> tuple[str, ...]:
    """In a variable they are a JSON list: a name may hold any separator."""
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError('should be a JSON list of names, as ["a.jpg", "b.jpg"]')
    return tuple(names)


def _wants(text: str) -> tuple[Want, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not {*names} <= {*WANTS}:
        raise ValueError(f"should be of {', '.join(WANTS)}, by commas")
    return tuple(want for want in WANTS if want in names)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """Classify image files with a running Fovea server."""

    images: tuple[str, ...] = option((), "image files", _names)
    target: str = option("localhost:8001", "the server, HOST:PORT", _address, "TEXT")
    top_k: int = option(3, "predictions an image, at most", _whole(1, 2**32 - 1), "N")
    model_version: int = option(0, "the version to use; 0 is the current one", _whole(0, 2**63 - 1), "N")
    model: str = option("", "the model to use; the server's only or default one unless set", str, "TEXT")
    want: tuple[Want, ...] = option(
        (), f"what answers are to have beside predictions: {', '.join(WANTS)}, by commas", _wants, "NAMES"
    )
    timeout_s: float = option(DEFAULT_TIMEOUT_S, "deadline of each call, in seconds", _timeout, "X")
    tls: bool = option(False, "speak TLS, trusting the public authorities", _switch)
    tls_ca: Path | None = option(
        None, "speak TLS, trusting the authority in this PEM file instead", Path, "PATH"
    )
    tls_cert: Path | None = option(None, "this client's own certificate, for mutual TLS", Path, "PATH")
    tls_key: Path | None = option(None, "the key of --tls-cert", Path, "PATH")
    token_file: Path | None = option(
        None, "file of the token that says who calls, where the server asks for that", Path, "PATH"
    )
    json_lines: bool = option(False, "print one JSON object a line", _switch, short="json")


def load(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> ClientOptions:
    """From `arguments`, the environment and the defaults, in that order of precedence.

    Raises SettingsInvalid, with one line that names the option, what is wrong and what is allowed.
    `--help` prints and raises SystemExit(0).
    """
    fields = {field.name: field for field in dataclasses.fields(ClientOptions)}
    refuse_unknown_variables(environment, PREFIX, map(_variable, fields))
    written = vars(_parser(fields.values()).parse_args(arguments))
    named = {name.upper(): text for name, text in environment.items()}
    from_environment = {name: named[_variable(name)] for name in fields if _variable(name) in named}
    return ClientOptions(
        **{name: _value(fields[name], given) for name, given in {**from_environment, **written}.items()}
    )


def _value(field: "dataclasses.Field[Any]", raw: Any) -> Any:
    if not isinstance(raw, str):  # a switch, or names as they stand on the command line
        return raw
    try:
        return field.metadata["parse"](raw)
    except ValueError as error:
        spelling = field.name.upper() if field.name == "images" else flag(field.name)
        raise SettingsInvalid(f"{spelling} (or {_variable(field.name)}): {error}, not {raw!r}") from error


def _variable(name: str) -> str:
    return PREFIX + name.upper()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        flags = [string for action in self._actions for string in action.option_strings]
        raise SettingsInvalid(explained(message, flags, PROGRAM))


def _parser(fields: "Sequence[dataclasses.Field[Any]] | Any") -> _Parser:
    parser = _Parser(
        prog=PROGRAM,
        description=ClientOptions.__doc__,
        formatter_class=HelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    for field in fields:
        _add(parser, field)
    return parser


def _add(parser: argparse.ArgumentParser, field: "dataclasses.Field[Any]") -> None:
    help_, value, short = (field.metadata[key] for key in ("help", "value", "short"))
    if field.default not in (None, ()):
        help_ = f"{help_} (default: {field.default})"
    flags = [flag(name) for name in (field.name, short) if name]
    if field.name == "images":
        parser.add_argument(field.name, nargs="*", metavar="IMAGES", action=_Names, help=help_)
    elif value is None:
        parser.add_argument(*flags, action=argparse.BooleanOptionalAction, help=help_)
    else:
        parser.add_argument(*flags, metavar=value, help=help_)


class _Names(argparse.Action):
    """Leaves what the environment says where no name is given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if values:
            setattr(namespace, self.dest, tuple(values))
