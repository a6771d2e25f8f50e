"""Runs the steps one after the other, most wanted first, and keeps what each has measured at once.

    python -m benchmarks.gpu.run CONTENT OUT [--only serving,scoring] [--limit-s 540] [--tiny]

OUT/results.json and OUT/table.md are written after every line that a step says. A step that fails, or takes
longer than it may, is a line with its reason, and the next one follows. Ends with 1 where one failed.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.kit import MANIFEST

STEPS: Final = {"machine": 90, "serving": 150, "training": 150, "scoring": 60, "models": 60}
"""Module of benchmarks.gpu -> seconds that it may take."""
REHEARSAL_LIMIT_S: Final = 500
LEFT_OUT: Final = {"several ranks": "two ranks on one GPU would prove nothing"}
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.run")
    parser.add_argument("content", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default=",".join(STEPS), help="steps, separated by commas")
    parser.add_argument("--limit-s", type=float, default=540, help="for all steps together")
    parser.add_argument("--tiny", action="store_true", help="the rehearsal: tiny sizes, on the CPU")
    options = parser.parse_args()
    asked = options.only.split(",")
    if unknown := sorted(set(asked) - set(STEPS)):
        parser.error(f"--only: there is no step {unknown[0]!r} (there are: {', '.join(STEPS)})")

    def command(step: str, *flags: str) -> list[str]:
        return [sys.executable, "-m", f"benchmarks.gpu.{step}", str(options.content), *flags]

    run = Run(options.out, options.content, asked)
    signal.signal(signal.SIGTERM, run.stop)
    if options.tiny:  # what it measures means nothing: two at a time, and with patience
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: run.measure(name, command(name, "--tiny"), REHEARSAL_LIMIT_S), asked))
    else:
        ends = time.monotonic() + options.limit_s
        for name in asked:
            run.measure(name, command(name), min(STEPS[name], ends - time.monotonic()))
    print((options.out / "table.md").read_text())
    return 1 if run.has_failed() else 0


class Run:
    """The steps, and what came of them so far."""

    def __init__(self, out: Path, content: Path, asked: list[str]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._out, self._content = out, content
        self._lock, self._sessions = threading.Lock(), set[int]()
        self._steps: dict[str, Row] = {
            **{name: _empty("not run: no time was left") for name in asked},
            **{name: _empty("not run: not asked for") for name in STEPS if name not in asked},
            **{name: _empty(f"not run: {why}") for name, why in LEFT_OUT.items()},
        }
        self._save()

    def has_failed(self) -> bool:
        rows = [row for step in self._steps.values() for row in step["rows"]]
        ends = [step["status"] for step in self._steps.values()]
        return any(row.get("failed") for row in rows) or any(
            end.startswith(("failed", "cut")) for end in ends
        )

    def stop(self, *_: object) -> None:
        """On SIGTERM: what was measured so far is written already."""
        for session in list(self._sessions):
            _end(session)
        sys.exit(143)

    def measure(self, name: str, command: list[str], limit_s: float) -> None:
        """Runs the step, if there is time for it."""
        if limit_s < 1:
            return
        step, began = self._steps[name], time.monotonic()
        step["status"] = "cut with the whole run"
        self._save()
        code = self._follow(step, command, limit_s)
        if code is None:
            step["status"] = f"cut after {limit_s:.0f} s"
        else:
            step["status"] = "done" if code == 0 else f"failed: {_last_line(self._log)}"
        step["seconds"] = round(time.monotonic() - began, 1)
        self._save()

    @property
    def _log(self) -> Path:
        return self._out / "log.txt"

    def _follow(self, step: Row, command: list[str], limit_s: float) -> int | None:
        """The exit code, or None of one that took too long. Whatever the step started ends with it."""
        with (
            self._log.open("ab") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, start_new_session=True) as process,
        ):
            took_too_long = threading.Event()

            def cut() -> None:
                took_too_long.set()
                _end(process.pid)

            timer = threading.Timer(limit_s, cut)
            timer.start()
            self._sessions.add(process.pid)
            try:
                for line in process.stdout or ():
                    self._note(step, line)
                process.wait()
            finally:
                timer.cancel()
                _end(process.pid)
                self._sessions.discard(process.pid)
        return None if took_too_long.is_set() else process.returncode

    def _note(self, step: Row, line: bytes) -> None:
        row = _parsed(line)
        if row is not None:
            step["rows"].append(row)
            print(f"{row['what']}: {_measured(row)}", flush=True)
            self._save()

    def _save(self) -> None:
        with self._lock:
            self._write()

    def _write(self) -> None:
        manifest = json.loads((self._content.parent / MANIFEST).read_text())
        about = {"commit": manifest["commit"], "kit": manifest["digest"], "source": str(Path.cwd())}
        _write(self._out / "results.json", json.dumps({**about, "steps": self._steps}, indent=1))
        lines = ["| step | what | measured |", "|---|---|---|"]
        for name, step in self._steps.items():
            lines += [f"| {name} | {row['what']} | {_measured(row)} |" for row in step["rows"]]
            lines.append(f"| {name} | the step, {step['seconds']} s | {step['status']} |")
        _write(self._out / "table.md", "\n".join(lines) + "\n")


def _empty(status: str) -> Row:
    return {"status": status, "seconds": 0, "rows": []}


def _parsed(line: bytes) -> Row | None:
    """None of what a program that the step started says, for it says it to the same pipe."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and {"what", "values", "note"} <= row.keys() else None


def _measured(row: Row) -> str:
    values = [f"{name} {value}" for name, value in row["values"].items()]
    return "; ".join([*values, *([row["note"]] if row["note"] else [])]).replace("|", "/")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"


def _end(session: int) -> None:
    """All of its processes: what a benchmark starts has a process group of its own."""
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                os.kill(int(process.name), signal.SIGKILL)


def _write(file: Path, text: str) -> None:
    whole = file.with_suffix(".partial")
    whole.write_text(text)
    whole.replace(file)


if __name__ == "__main__":
    sys.exit(main())
