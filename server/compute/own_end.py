"""What a process that belongs to a server does first: it ends with it, and tells `top` what it is."""

import ctypes
import signal
from contextlib import suppress
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15


def end_with_the_server() -> None:
    """Also where this process hangs and never sees the socket's end."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def name_itself(what: str) -> None:
    """For `top`; the command line of a fork is its template's."""
    _prctl(_PR_SET_NAME, f"fovea-{what}".encode())


def _prctl(option: int, value: int | bytes) -> None:
    """On Linux; elsewhere nothing."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value)
