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
from typing import Any, Final, NoReturn


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

    exits.run(lambda: _run(module))


def _run(module: str) -> Any:
    try:
        return import_module(module).main()
    except ModuleNotFoundError as error:
        program = module.partition(".")[0]
        if program not in _EXTRAS or str(error.name).partition(".")[0] in {"fovea", *_EXTRAS}:
            raise
        from fovea.errors import extra_missing

        raise extra_missing(error, f"the {program}", _EXTRAS[program]) from error


_EXTRAS: Final = {"trainer": "train", "server": "serve", "scorer": "serve,score"}
"""Of our distribution, by the program that needs them."""


def _leave(signum: int, frame: FrameType | None) -> None:
    # An exception would come out of the midst of an import, where some libraries make another one of it.
    terminated = signum == signal.SIGTERM
    os.write(2, b"error: stopped by SIGTERM\n" if terminated else b"interrupted\n")
    os._exit(143 if terminated else 130)
