"""What a step says: a line of JSON for each measurement, as soon as it is there."""

import json
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

Value = float | int | str


def measured(what: str, values: Mapping[str, Value], note: str = "") -> None:
    """`values` are by name and unit, as `images/s` or `p50 ms`."""
    _say({"what": what, "values": {name: _rounded(value) for name, value in values.items()}, "note": note})


def not_run(what: str, why: str) -> None:
    """A number that is not there is said to be missing, never estimated."""
    _say({"what": what, "values": {}, "note": f"not run: {why}"})


@contextmanager
def attempt(what: str) -> Iterator[None]:
    """What fails inside is a line with its reason, and not the end of the step."""
    try:
        yield
    except (Exception, SystemExit) as error:
        traceback.print_exc(file=sys.stderr)
        reason = (str(error).splitlines() or [type(error).__name__])[-1]
        _say({"what": what, "values": {}, "note": f"failed: {reason}", "failed": True})


def expect(what: str, holds: bool, seen: str) -> None:
    """A promise rather than a number."""
    _say({"what": what, "values": {"holds": "yes" if holds else "NO"}, "note": seen, "failed": not holds})


def _rounded(value: Value) -> Value:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _say(row: Mapping[str, object]) -> None:
    print(json.dumps(row), flush=True)
