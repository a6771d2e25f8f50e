"""`python -m fovea.client`: classify image files with a running server, as a table or as JSON lines."""

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict
from rich.cells import cell_len

# gRPC's core would write lines of its own beside the one that an error ends with.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from fovea import settings
from fovea.channel import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S
from fovea.client import CallFailed, Classification, Client
from fovea.errors import ExitCode, FoveaError, SettingsInvalid, Unavailable

PROGRAM: Final = "python -m fovea.client"
LARGEST_PORT: Final = 65_535
MAX_LABEL_WIDTH: Final = 32
"""Of its column; a label that is longer pushes the others aside."""


class ClientSettings(settings.ProgramSettings):
    """Classify image files with a running Fovea server."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_CLIENT_", cli_shortcuts={"json-lines": "json"})

    images: CliPositionalArg[list[str]] = Field(default=[], description="image files")
    target: str = Field(default="localhost:8001", description="the server, HOST:PORT")
    top_k: int = Field(default=3, ge=1, le=2**32 - 1, description="predictions an image, at most")
    model_version: int = Field(
        default=0, ge=0, le=2**63 - 1, description="the version to use; 0 is the current one"
    )
    timeout_s: float = Field(
        default=DEFAULT_TIMEOUT_S, gt=0, le=MAX_TIMEOUT_S, description="deadline of each call, in seconds"
    )
    tls: bool = Field(default=False, description="speak TLS, trusting the public authorities")
    tls_ca: Path | None = Field(
        default=None, description="speak TLS, trusting the authority in this PEM file instead"
    )
    tls_cert: Path | None = Field(default=None, description="this client's own certificate, for mutual TLS")
    tls_key: Path | None = Field(default=None, description="the key of --tls-cert")
    json_lines: bool = Field(default=False, description="print one JSON object a line")

    @field_validator("target")
    @classmethod
    def _target_is_an_address(cls, value: str) -> str:
        # gRPC's own schemes have three slashes (dns:///HOST:PORT) or none, or say which DNS server to ask.
        if ":" not in value or re.search(r"\s|(?<!^dns)://(?!/)", value):
            raise ValueError("the server's address is HOST:PORT, without http://")
        port = _port(value)
        if port is not None and not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= LARGEST_PORT):
            raise ValueError(f"the port in HOST:PORT is a number from 1 to {LARGEST_PORT}")
        return value


def _port(target: str) -> str | None:
    """What follows the host; None where gRPC's scheme knows no port, or does without (dns:///HOST)."""
    scheme, _, rest = target.partition(":")
    if scheme in _SCHEMES_WITHOUT_PORT:
        return None
    address = re.sub("^//[^/]*/", "", rest) if scheme == "dns" else target
    return address.rpartition(":")[2] if re.search(r":[^\]]*$", address) else None


_SCHEMES_WITHOUT_PORT: Final = {"unix", "unix-abstract", "vsock", "xds"}


def main() -> ExitCode:
    # Ctrl-C ends the process at once, as fovea.entry has it: an exception amid a gRPC call can leave the
    # channel such that closing it waits for ever. Nothing is lost, for each row is written as it comes.
    options = settings.load(ClientSettings, sys.argv[1:], PROGRAM)
    if not options.images:
        raise SettingsInvalid(f"an image is missing; write {PROGRAM} IMAGE... --target HOST:PORT")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may hold what cannot be printed
    with Client(
        options.target,
        timeout_s=options.timeout_s,
        tls=options.tls,
        tls_ca=options.tls_ca,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
    ) as client:
        labels = _labels(client, options)
        outcomes = client.classify_many(
            options.images, top_k=min(options.top_k, len(labels)), model_version=options.model_version
        )
        named = zip(options.images, outcomes, strict=True)
        if options.json_lines:
            failures = _print_json(named)
        else:
            failures = _print_table(named, _widths(options.images, labels))
    return max((error.exit_code for error in failures), default=ExitCode.DONE)


def _labels(client: Client, options: ClientSettings) -> Sequence[str]:
    try:
        return client.get_model(options.model_version).labels
    except CallFailed as error:
        if error.code.name not in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
            raise
        raise Unavailable(
            f"no server answers at {options.target}: {error}; is it started, are --target and --tls right?"
        ) from error


def _print_json(outcomes: Iterable[tuple[str, Classification | FoveaError]]) -> list[FoveaError]:
    failures = []
    for name, outcome in outcomes:
        if isinstance(outcome, FoveaError):
            failures.append(outcome)
            line = {"image": name, "error": _error_fields(outcome)}
        else:
            line = {"image": name, **asdict(outcome)}
        print(json.dumps(line), flush=True)
    return failures


def _print_table(
    outcomes: Iterable[tuple[str, Classification | FoveaError]], widths: tuple[int, int, int]
) -> list[FoveaError]:
    """Each row as it comes: their widths are known before."""
    failures: list[FoveaError] = []
    has_header = False
    for name, outcome in outcomes:
        if isinstance(outcome, FoveaError):
            failures.append(outcome)
            print(f"error: {name}: {outcome}".replace(f"{name}: {name}:", f"{name}:"), file=sys.stderr)
            continue
        if not has_header:
            print(_row(("image", "label", "probability", "others"), widths))
            has_header = True
        print(_row((name, *_cells(outcome)), widths), flush=True)
    return failures


def _widths(images: Iterable[str], labels: Iterable[str]) -> tuple[int, int, int]:
    longest = (max(map(cell_len, ["image", *images])), max(map(cell_len, ["label", *labels])))
    return longest[0], min(longest[1], MAX_LABEL_WIDTH), len("0.000 (unsure)")


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    *columns, last = cells
    padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(columns, widths, strict=True))
    return "  ".join([*padded, last]).rstrip()


def _cells(outcome: Classification) -> tuple[str, str, str]:
    best, *others = outcome.predictions
    rest = ", ".join(f"{p.label} {p.probability:.3f}" for p in others)
    unsure = " (unsure)" if outcome.abstained else ""
    return best.label, f"{best.probability:.3f}{unsure}", rest


def _error_fields(error: FoveaError) -> dict[str, Any]:
    if not isinstance(error, CallFailed):
        return {"code": "NOT_SENT", "message": str(error)}
    return {"code": error.code.name, "message": str(error), "field": error.field}
