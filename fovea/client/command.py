"""`python -m fovea.client`: classify image files with a running server, as a table or as JSON lines."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

# gRPC's core would write lines of its own beside the one that an error ends with.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from fovea.client import CallFailed, Classification, Client, Prediction
from fovea.client.options import PROGRAM, ClientOptions, load
from fovea.errors import DataInvalid, ExitCode, FoveaError, SettingsInvalid, Unavailable
from fovea.printable import terminal_width

MAX_LABEL_WIDTH: Final = 32
"""Of its column; a label that is longer pushes the others aside."""


def main() -> ExitCode:
    # Ctrl-C ends the process at once, as fovea.entry has it: an exception amid a gRPC call can leave the
    # channel such that closing it waits for ever. Nothing is lost, for each row is written as it comes.
    options = load(sys.argv[1:])
    if not options.images:
        raise SettingsInvalid(f"an image is missing; write {PROGRAM} IMAGE... --target HOST:PORT")
    with Client(
        options.target,
        timeout_s=options.timeout_s,
        tls=options.tls,
        tls_ca=options.tls_ca,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        token_file=options.token_file,
    ) as client:
        labels = _labels(client, options)
        outcomes = client.classify_many(
            options.images,
            top_k=min(options.top_k, len(labels)),
            model_version=options.model_version,
            model=options.model,
            want=options.want,
        )
        named = zip(options.images, outcomes, strict=True)
        if options.json_lines:
            failures = _print_json(named)
        else:
            failures = _print_table(named, _widths(options.images, labels))
    return max((error.exit_code for error in failures), default=ExitCode.DONE)


def _labels(client: Client, options: ClientOptions) -> Sequence[str]:
    try:
        return client.get_model(options.model_version, options.model).labels
    except CallFailed as error:
        if error.code.name == "UNIMPLEMENTED":
            raise Unavailable(f"what answers at {options.target} is no Fovea server: {error}") from error
        if error.code.name in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
            raise DataInvalid(
                f"the server at {options.target} asks who calls: {error}; is --token-file right?"
            ) from error
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
            known = {field: value for field, value in asdict(outcome).items() if value is not None}
            line = {"image": name, **known}
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
            print(f"error: {outcome}", file=sys.stderr)
            continue
        if not has_header:
            print(_row(("image", "label", "probability", "others"), widths))
            has_header = True
        print(_row((name, *_cells(outcome)), widths), flush=True)
    return failures


def _widths(images: Iterable[str], labels: Iterable[str]) -> tuple[int, int, int]:
    longest = (max(map(terminal_width, ["image", *images])), max(map(terminal_width, ["label", *labels])))
    return longest[0], min(longest[1], MAX_LABEL_WIDTH), len("0.000 (unsure)")


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    *columns, last = cells
    padded = (
        cell + " " * (width - terminal_width(cell)) for cell, width in zip(columns, widths, strict=True)
    )
    return "  ".join([*padded, last]).rstrip()


def _cells(outcome: Classification) -> tuple[str, str, str]:
    """Label, probability and others; of a multi-label model each label that is selected, and the others."""
    if outcome.selected is None:
        (best, *others), doubt = outcome.predictions, " (unsure)" if outcome.abstained else ""
        return best.label, f"{best.probability:.3f}{doubt}", _rest(outcome, others)
    selected = {each.index for each in outcome.selected}
    others = [each for each in outcome.predictions if each.index not in selected]
    labels = ", ".join(each.label for each in outcome.selected) or "none"
    return labels, ", ".join(f"{each.probability:.3f}" for each in outcome.selected), _rest(outcome, others)


def _rest(outcome: Classification, others: Iterable[Prediction]) -> str:
    rest = [", ".join(f"{each.label} {each.probability:.3f}" for each in others)]
    if outcome.label_set is not None:
        labels = ", ".join(outcome.label_set.labels) or "none"
        rest.append(f"{100 * outcome.label_set.coverage:.4g}% set: {labels}")
    if outcome.distance is not None:
        rest.append(f"distance {outcome.distance:.3g}{' (unknown)' if outcome.unknown else ''}")
    return "; ".join(filter(None, rest))


def _error_fields(error: FoveaError) -> dict[str, Any]:
    if not isinstance(error, CallFailed):
        return {"code": "NOT_SENT", "message": str(error)}
    return {"code": error.code.name, "message": str(error), "field": error.field}
