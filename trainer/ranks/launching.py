"""Starts ranks on this machine, with torch's own launcher, and ends as they end."""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from threading import Event
from typing import Any, Final, TypeVar

from fovea import daemons, exits, stopping, surroundings
from fovea.errors import ExitCode, Unavailable
from trainer.ranks.outcome import GOES_ON, Followed, RankGone

S = TypeVar("S")

LOOPBACK: Final = "127.0.0.1"
SAVED_WITHIN_S: Final = 3600
"""A rank that saves after a SIGTERM is not killed before; whoever stops the job has a bound of his own."""


def launch(count: int, work: Callable[[S], None], settings: S) -> ExitCode:
    """Runs `work(settings)` in `count` new processes, where `joining` finds the ranks in the environment.

    Gives the exit code of the first to fail; theirs are all the same, where none was killed. Of ranks that
    this process was told to stop it is the signal's, if none failed on its way. Raises Unavailable where one
    was killed.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _hush()
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=f"{LOOPBACK}:0",
        local_addr=LOOPBACK,
        max_restarts=0,
        **_time_to_save(LaunchConfig),
    )
    # Of ranks that are told to stop, torch tells no exit codes.
    told, tell = get_context(config.start_method).Pipe(duplex=False)
    try:
        with _ranks_load_in_peace():
            elastic_launch(config, _be_a_rank)(work, settings, tell)
    except ChildFailedError as error:
        return _code_of(error)
    except SignalException as error:  # the ranks have said it
        stop = ExitCode.INTERRUPTED if error.sigval == signal.SIGINT else ExitCode.TERMINATED
        return _code_after(stop, _read(told), count)
    return ExitCode.DONE


@contextmanager
def _ranks_load_in_peace() -> Iterator[None]:
    """A Ctrl-C in the seconds in which a process loads its libraries would show where in them it was.

    So ranks are born with it blocked, as this thread has it, until they are ready for it. Here another thread
    takes it, and Python's handler runs in this one all the same.
    """
    resource_tracker.ensure_running()  # which would unblock it, where processes are the first to want it
    daemons.start(Event().wait)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _time_to_save(config: Any) -> dict[str, Any]:
    """torch 2.11 takes none: it kills whoever is left after 30 s."""
    takes_it = "shutdown_timeout" in {field.name for field in fields(config)}
    return {"shutdown_timeout": SAVED_WITHIN_S} if takes_it else {}


def _hush() -> None:
    """What torch says of ranks that end, they say better themselves. Its loggers have a level each."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("torch.distributed", "torch.multiprocessing")):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _code_of(error: Any) -> ExitCode:
    rank, failure = error.get_first_failure()
    if failure.exitcode >= 0:
        known = {int(code): code for code in ExitCode}
        return known.get(failure.exitcode, ExitCode.BUG)
    if failure.exitcode == -signal.SIGTERM:  # before it had got ready for it
        return ExitCode.TERMINATED
    number = signal.Signals(-failure.exitcode)
    by_whom = ", as by a system that is out of memory" if number == signal.SIGKILL else ""
    raise Unavailable(f"rank {rank} was killed by {number.name}{by_whom}; {GOES_ON}")


def _read(told: Connection) -> list[ExitCode]:
    """In the order in which ranks ended; one that was killed has told none."""
    codes = []
    while told.poll():
        codes.append(ExitCode(told.recv_bytes()[0]))
    return codes


def _code_after(stop: ExitCode, codes: list[ExitCode], count: int) -> ExitCode:
    """Of ranks that were told to stop: one may have failed as it saved, and all may have been done before."""
    if codes == count * [ExitCode.DONE]:
        return ExitCode.DONE
    failed = [
        code for code in codes if code not in {ExitCode.DONE, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
    ]
    if failed[:1] == [ExitCode.UNAVAILABLE] and len(codes) < count:  # the others' code, who do not say why
        raise Unavailable(f"a rank was killed as it was to stop; {GOES_ON}")
    return failed[0] if failed else stop


def _be_a_rank(work: Callable[[S], None], settings: S, tell: Connection) -> None:
    """What each process does. One that is done returns: the launcher waits for what it returns."""
    # Ctrl-C at a terminal goes to all of a group, and the launcher passes it on: it would come twice.
    os.setpgrp()
    surroundings.settle()
    code = exits.outcome_of(lambda: _work(work, settings))
    stopping.finish()
    tell.send_bytes(bytes([code]))  # so few, they are there as a whole or not at all
    if code != ExitCode.DONE:
        exits.leave(code)
    # Here the launcher leaves it waiting: where that is told to stop, it would wait for this one for an hour.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _work(work: Callable[[S], None], settings: S) -> ExitCode | None:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        work(settings)
    except (Followed, RankGone) as ended:  # the one that ended, or the launcher, says why on this terminal
        return ended.exit_code
    return None
