"""The first second of a program, in which its libraries load: a signal ends it as quietly as a later one.

Imports next to nothing itself. A module that `python -m` runs begins with

    if __name__ == "__main__":
        from fovea import entry

        entry.run(MODULE)
"""

import os
import signal
from importlib import import_module
from types import FrameType
from typing import NoReturn


def run(module: str) -> NoReturn:
    """Imports the module and leaves the process as its `main` ends.

    SIGINT and SIGTERM end the process at once until `main` makes a `fovea.stopping.Stopping`, or takes the
    signal itself. (A container's first process would be deaf to SIGTERM otherwise.)
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _leave)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else someone wants it ignored
        signal.signal(signal.SIGINT, _leave)
    from fovea import exits

    exits.run(lambda: import_module(module).main())


def _leave(signum: int, frame: FrameType | None) -> None:
    # An exception would come out of the midst of an import, where some libraries make another one of it.
    terminated = signum == signal.SIGTERM
    os.write(2, b"error: stopped by SIGTERM\n" if terminated else b"interrupted\n")
    os._exit(143 if terminated else 130)
