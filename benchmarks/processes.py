"""Programs that a benchmark starts. Whatever ends the benchmark ends them too, and all that they started."""

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from fovea import exits
from fovea.errors import ExitCode, Terminated, Unavailable

PATIENCE_S: Final = 60
"""For the next line of a program, and for its end after SIGTERM."""
LAST_LINES: Final = 20


def run(main: Callable[[], None]) -> NoReturn:
    """Runs a benchmark to its end, also on SIGTERM and where its terminal goes away."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _terminated)

    def all_of_it() -> ExitCode:
        main()
        return ExitCode.DONE

    exits.run(all_of_it)


class Program:
    """A running program, what it has said, and its end."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait_for(self, text: str, timeout_s: float = PATIENCE_S) -> str:
        """The next line with this text. Raises Unavailable where the program ends without it."""
        while True:
            try:
                line = self._lines.get(timeout=timeout_s)
            except queue.Empty:
                raise Unavailable(f"{self._name} did not say {text!r} in {timeout_s:.0f} s") from None
            if line is None:
                raise Unavailable(f"{self._name} ended without saying {text!r}: {self.last_lines()}")
            if text in line:
                return line

    def last_lines(self) -> str:
        return " | ".join(line.strip() for line in self.log[-LAST_LINES:])

    def end(self) -> None:
        """By SIGTERM, and by SIGKILL what is left of it then."""
        try:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_S)
        finally:
            _kill(self._process)
            self._reader.join(PATIENCE_S)

    @property
    def _name(self) -> str:
        return " ".join(str(word) for word in self._process.args[:3])  # type: ignore[index]

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self.log.append(line)
                self._lines.put(line)
        self._lines.put(None)


@contextmanager
def running(
    command: Sequence[str | Path], *, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """From the start of a program to its end; what it says on either stream is kept."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )
    program = Program(process)
    try:
        yield program
    finally:
        program.end()


def output_of(
    command: Sequence[str | Path], *, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """What a program prints. Raises Unavailable, with the end of what it said, where it fails."""
    return outputs_of([command], folder=folder, environment=environment)[0]


def said_by(command: Sequence[str | Path]) -> str:
    """As `output_of`, with what it says on stderr among the rest."""
    with _short(command, None, None, subprocess.STDOUT) as process:
        return _output(process)


def outputs_of(
    commands: Sequence[Sequence[str | Path]],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """As `output_of`, of programs that run side by side."""
    with ExitStack() as stack:
        processes = [stack.enter_context(_short(command, folder, environment)) for command in commands]
        return [_output(process) for process in processes]


@contextmanager
def _short(
    command: Sequence[str | Path],
    folder: Path | None,
    environment: Mapping[str, str] | None,
    stderr: int = subprocess.PIPE,
) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
        process_group=0,
    ) as process:
        try:
            yield process
        finally:
            _kill(process)


def _output(process: "subprocess.Popen[str]") -> str:
    output, errors = process.communicate()
    if process.returncode != 0:
        command = " ".join(str(word) for word in process.args[:4])  # type: ignore[index]
        said = " | ".join((errors or output).strip().splitlines()[-LAST_LINES:])
        raise Unavailable(f"{command} ended with {process.returncode}: {said}")
    return output


def _kill(process: "subprocess.Popen[str]") -> None:
    """With its whole group, which is its own: the signals of a terminal do not reach it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _terminated(signum: int, frame: FrameType | None) -> NoReturn:
    raise Terminated(f"stopped by {signal.Signals(signum).name}")
