"""A copy of the checkout in which one mutant at a time is tested."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from tests.mutants.mutations import Mutant
from tests.mutants.rooms import ROOT, Room

LIMIT_S: Final = 900
SHOWN_CHARACTERS: Final = 4000


class Fate(Enum):
    KILLED = "killed"
    SURVIVED = "survived"
    TIMEOUT = "timed out"


class Verdict(NamedTuple):
    """What became of a mutant, and the test that failed."""

    fate: Fate
    test: str = ""


@dataclass(frozen=True)
class Baseline:
    """What the tests of a room do when nothing is wrong."""

    seconds_of_test: Mapping[str, float]
    tests_of_line: Mapping[str, Mapping[str, Sequence[str]]]
    imported: Sequence[str]

    def rounds(self, mutant: Mutant) -> list[list[str]]:
        """First the tests that run the line, the fastest first; then the others, the nearest file first.

        Others may start a process that runs the line, or use what one of the first ones has made.
        """
        direct = set(self.tests_of_line.get(mutant.module, {}).get(str(mutant.line), ()))
        near = f"test_{Path(mutant.module).stem}.py"
        others = self.seconds_of_test.keys() - direct
        return [
            sorted(direct, key=lambda test: self.seconds_of_test[test]),
            sorted(others, key=lambda test: (f"/{near}::" not in test, self.seconds_of_test[test])),
        ]


class BaselineFailed(Exception):
    """The tests of the room fail without any mutant."""


class Tester:
    """Works in a folder of its own, which it does not remove; ends its processes when it is left."""

    def __init__(self, room: Room, folder: Path) -> None:
        self._room = room
        self._report, self._scratch = folder / "report.json", folder / "scratch"
        self._checkout = folder / "checkout"
        self._stamps = itertools.count(1)
        _copy(self._checkout)
        (folder / "tmp").mkdir()
        environment = {**os.environ, "PYTHONPATH": str(self._checkout), "TMPDIR": str(folder / "tmp")}
        self._output = folder / "output.txt"
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.mutants.forking"],
                cwd=self._checkout,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def baseline(self) -> Baseline:
        """Runs all the tests of the room. Raises BaselineFailed."""
        answer = self._ask(tests=self._room.tests, modules=self._room.modules)
        if answer["code"] != 0:
            failed = ", ".join(answer.get("failed") or ["pytest itself"])
            end = self._end_of_output()
            raise BaselineFailed(f"{self._room.name}: tests fail without any mutant: {failed}\n{end}")
        return Baseline(answer["seconds"], answer["tests_of_line"], answer["imported"])

    def import_ahead(self, names: Iterable[str]) -> None:
        """What every run of the tests will import."""
        self._send({"imported": list(names)})

    def check(self, baseline: Baseline) -> None:
        """That without a fault all tests pass in the way mutants are tested. Raises BaselineFailed."""
        verdict = self._verdict(list(baseline.seconds_of_test), baseline)
        if verdict.fate is not Fate.SURVIVED:
            text = f"{self._room.name}: what has no fault is {verdict.fate.value} by {verdict.test}"
            raise BaselineFailed(f"{text}\n{self._end_of_output()}")

    def test(self, mutant: Mutant, baseline: Baseline) -> Verdict:
        module = self._checkout / mutant.module
        self._write(module, mutant.text)
        try:
            for tests in baseline.rounds(mutant):
                if tests and (verdict := self._verdict(tests, baseline)).fate is not Fate.SURVIVED:
                    return verdict
            return Verdict(Fate.SURVIVED)
        finally:
            self._write(module, mutant.original)

    def _verdict(self, tests: Sequence[str], baseline: Baseline) -> Verdict:
        seconds = {test: baseline.seconds_of_test[test] for test in tests}
        files = dict.fromkeys(test.partition("::")[0] for test in tests)
        answer = self._ask(tests=list(files), seconds=seconds)
        if answer["code"] is None or (answer["code"] == 1 and "test" not in answer):  # by pytest-timeout
            return Verdict(Fate.TIMEOUT)
        return (
            Verdict(Fate.SURVIVED)
            if answer["code"] == 0
            else Verdict(Fate.KILLED, answer.get("test", "pytest"))
        )

    def _end_of_output(self) -> str:
        return self._output.read_text(errors="replace")[-SHOWN_CHARACTERS:]

    def _write(self, module: Path, text: str) -> None:
        """With a time of its own: byte code of another text is never taken for this one's."""
        module.write_text(text)
        os.utime(module, (next(self._stamps), next(self._stamps)))

    def _ask(
        self, tests: Sequence[str], modules: Sequence[str] = (), seconds: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """`modules` to record what covers them, or `seconds` to run these tests only."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._send(
            {
                "tests": list(tests),
                "modules": list(modules),
                "seconds": dict(seconds or {}),
                "report": str(self._report),
                "scratch": str(self._scratch),
                "limit_s": LIMIT_S,
            }
        )
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def _send(self, order: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)


def _copy(target: Path) -> None:
    """What is in git, what may come into it, and the extension, as it was compiled here."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    compiled = [str(path.relative_to(ROOT)) for path in ROOT.glob("fovea/images/_resize.*.so")]
    for name in filter(None, [*listed.stdout.split("\0"), *compiled]):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
