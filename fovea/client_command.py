"""`python -m fovea.client`: classify image files with a running server, as a table or as JSON lines."""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict
from rich.console import Console
from rich.table import Table

# gRPC's core would write lines of its own beside the one that an error ends with.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from fovea import entry, settings
from fovea.client import DEFAULT_TIMEOUT_S, CallFailed, Classification, Client
from fovea.errors import ExitCode, FoveaError, SettingsInvalid, Unavailable

PROGRAM = "python -m fovea.client"


class ClientSettings(settings.ProgramSettings):
    """Classify image files with a running Fovea server."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_CLIENT_", cli_shortcuts={"json-lines": "json"})

    images: CliPositionalArg[list[str]] = Field(default=[], description="image files")
    target: str = Field(default="localhost:8001", description="the server, HOST:PORT")
    top_k: int = Field(default=3, ge=1, le=2**32 - 1, description="predictions an image, at most")
    model_version: int = Field(
        default=0, ge=0, le=2**63 - 1, description="the version to use; 0 is the current one"
    )
    timeout_s: float = Field(default=DEFAULT_TIMEOUT_S, gt=0, description="deadline of each call, in seconds")
    json_lines: bool = Field(default=False, description="print one JSON object a line")

    @field_validator("target")
    @classmethod
    def _target_is_an_address(cls, value: str) -> str:
        # gRPC's own schemes have three slashes (dns:///HOST:PORT) or none.
        if not value or re.search(r"\s|://(?!/)", value):
            raise ValueError("the server's address is HOST:PORT, without http://")
        return value


def main() -> ExitCode:
    entry.interrupt_by_exception()
    options = settings.load(ClientSettings, sys.argv[1:], PROGRAM)
    if not options.images:
        raise SettingsInvalid(f"an image is missing; write {PROGRAM} IMAGE... --target HOST:PORT")
    with Client(options.target, timeout_s=options.timeout_s) as client:
        labels = _labels(client, options)
        outcomes = client.classify_many(
            options.images, top_k=min(options.top_k, len(labels)), model_version=options.model_version
        )
        named = zip(options.images, outcomes, strict=True)
        failures = _print_json(named) if options.json_lines else _print_table(named)
    return max((error.exit_code for error in failures), default=ExitCode.DONE)


def _labels(client: Client, options: ClientSettings) -> Sequence[str]:
    try:
        return client.get_model(options.model_version).labels
    except CallFailed as error:
        if error.code.name not in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
            raise
        raise Unavailable(
            f"no server answers at {options.target}: {error}; is it started, is --target right?"
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


def _print_table(outcomes: Iterable[tuple[str, Classification | FoveaError]]) -> list[FoveaError]:
    failures = []
    table = Table("image", "label", "probability", "others", box=None, pad_edge=False)
    for name, outcome in outcomes:
        if isinstance(outcome, FoveaError):
            failures.append(outcome)
            print(f"error: {name}: {outcome}".replace(f"{name}: {name}:", f"{name}:"), file=sys.stderr)
        else:
            table.add_row(name, *_cells(outcome))
    if table.row_count:
        # Wide enough for any path: a pipe must not get wrapped lines.
        Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(table)
    return failures


def _cells(outcome: Classification) -> tuple[str, str, str]:
    best, *others = outcome.predictions
    rest = ", ".join(f"{p.label} {p.probability:.3f}" for p in others)
    unsure = " (unsure)" if outcome.abstained else ""
    return best.label, f"{best.probability:.3f}{unsure}", rest


def _error_fields(error: FoveaError) -> dict[str, Any]:
    if not isinstance(error, CallFailed):
        return {"code": "NOT_SENT", "message": str(error)}
    return {"code": error.code.name, "message": str(error), "field": error.field}
