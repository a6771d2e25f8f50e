"""What a process that belongs to a server does first: it ends with it, and tells `top` what it is."""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
SPARE: Final = "spare"
"""The name of who gives way."""


def end_with_the_server() -> None:
    """Also where this process hangs and never sees the socket's end."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def name_itself(what: str) -> None:
    """For `top`; the command line of a fork is its template's."""
    _prctl(_PR_SET_NAME, f"fovea-{what}".encode())


def give_way() -> None:
    """From here on all threads of this process have a core only while nothing else wants it.

    On Linux whoever else wakes has the core at once (SCHED_IDLE); elsewhere this process has the least part.
    """
    name_itself(SPARE)
    try:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))
    except (OSError, AttributeError):
        with suppress(OSError):
            os.nice(19)


def _prctl(option: int, value: int | bytes) -> None:
    """On Linux; elsewhere nothing."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value)
