"""Runs pytest again and again, each time in a fork that has the outside libraries imported already.

Lines of JSON come on standard input, and one answers each on standard output. Starting Python and importing
torch would take most of the time of a mutant. Our own modules are imported in the fork only.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from tests.mutants import selection

OURS: Final = {"fovea", "server", "trainer", "scorer", "tests", "__main__"}
NOT_TO_BE_FORKED: Final = {"grpc", "grpc_status"}
"""Calls hang in a fork of a process that has it imported."""
MARKS: Final = "not slow and not gpu and not images"


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        for name in order.get("imported", ()):
            _import(name)
        if "tests" in order:
            print(json.dumps(_run(order)), file=answers, flush=True)


def _import(name: str) -> None:
    package = name.partition(".")[0]
    if package not in OURS | NOT_TO_BE_FORKED | sys.stdlib_module_names and package.isidentifier():
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _run(order: dict[str, Any]) -> dict[str, Any]:
    report = Path(order["report"])
    report.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        _test(order, report)
    has_ended = _wait(child, order["limit_s"])
    outcome = json.loads(report.read_text()) if report.exists() else {}
    return {"code": has_ended, **outcome}


def _test(order: dict[str, Any], report: Path) -> NoReturn:
    code: int = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        import pytest

        flags = ["-x"] if not order["modules"] else []
        arguments = [*order["tests"], *flags, "-q", "-p", "no:cacheprovider", "-m", MARKS]
        arguments += [f"--basetemp={order['scratch']}"]
        code = int(pytest.main(arguments, plugins=[selection.plugin(order, report)]))
    finally:
        os._exit(code)


def _wait(child: int, limit_s: float) -> int | None:
    """The exit code; None when it took too long. Whatever the tests started is ended with them."""

    def end(_signal: int, _frame: FrameType | None) -> NoReturn:
        _end(child)
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    with os.fdopen(os.pidfd_open(child)) as life:
        has_ended = bool(select.select([life], [], [], limit_s)[0])
    _end(child)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if has_ended else None


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
