"""Plugins of pytest: which test runs which line, and the tests in the order that soonest finds a fault."""

import json
import sys
from collections import defaultdict
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final

import coverage
import pytest

IN_TIME: Final = 5
"""A test that takes so many times what it took, and `HASTE_S`, hangs."""
HASTE_S: Final = 20


class Recorder:
    """Writes what a room's tests do when nothing is wrong: seconds, lines that they run, what they import."""

    def __init__(self, modules: Sequence[str], report: Path) -> None:
        self._coverage = coverage.Coverage(
            data_file=None, include=[str(Path.cwd() / name) for name in modules]
        )
        self._report = report
        self._seconds: dict[str, float] = defaultdict(float)
        self._failed: list[str] = []
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        if report.failed:
            self._failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        self._report.write_text(
            json.dumps(
                {
                    "seconds": self._seconds,
                    "failed": self._failed,
                    "tests_of_line": self._tests_of_line(),
                    "imported": list(sys.modules),
                }
            )
        )

    def _tests_of_line(self) -> dict[str, dict[int, list[str]]]:
        data = self._coverage.get_data()
        return {str(Path(file).relative_to(Path.cwd())): _named(data, file) for file in data.measured_files()}


def _named(data: coverage.CoverageData, file: str) -> dict[int, list[str]]:
    """Without what runs when a module is imported, which is of no test."""
    return {line: [test for test in tests if test] for line, tests in data.contexts_by_lineno(file).items()}


class Chooser:
    """Runs only the tests that are named, in their order, and writes which one failed."""

    def __init__(self, seconds_of_test: dict[str, float], report: Path) -> None:
        self._seconds = seconds_of_test
        self._report = report

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        place = {test: index for index, test in enumerate(self._seconds)}
        left_out = [item for item in items if item.nodeid not in place]
        items[:] = sorted(
            (item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid]
        )
        config.hook.pytest_deselected(items=left_out)
        for item in items:
            # Ends the process: an exception would be swallowed by an event loop that never ends.
            limit_s = IN_TIME * self._seconds[item.nodeid] + HASTE_S
            item.add_marker(pytest.mark.timeout(limit_s, method="thread"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._write(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(report.nodeid)

    def _write(self, test: str) -> None:
        self._report.write_text(json.dumps({"test": test}))


def plugin(order: dict[str, Any], report: Path) -> Recorder | Chooser:
    """`order` is what `Tester` asks for."""
    return Recorder(order["modules"], report) if order["modules"] else Chooser(order["seconds"], report)
