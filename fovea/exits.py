"""How a program ends: `run` is the outermost frame, and makes one line and an exit code of an error."""

import atexit
import errno
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from fovea import daemons, stopping, surroundings
from fovea.errors import ExitCode, FoveaError, Terminated
from fovea.printable import printable


def run(main: Callable[[], ExitCode | None]) -> NoReturn:
    """Runs a program's `main` and leaves the process with the exit code that its end deserves."""
    surroundings.settle()
    code = outcome_of(main)
    stopping.finish()
    if daemons.are_at_work():
        leave(code)
    sys.exit(int(code))


def leave(code: ExitCode) -> NoReturn:
    """As `sys.exit` does, but without taking the interpreter down below those that are at work."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(int(code))


def outcome_of(main: Callable[[], ExitCode | None]) -> ExitCode:
    """Runs `main`, says what ended it, and gives the code to leave with."""
    try:
        return main() or ExitCode.DONE
    except (FoveaError, Terminated) as error:
        print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) went away, so there is nobody to tell; but not all was said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.UNAVAILABLE
    except OSError as error:
        if not _is_of_the_machine(error):
            traceback.print_exc()
            return ExitCode.BUG
        print(f"error: {os.fsdecode(error.filename)!r}: {error.strerror}", file=sys.stderr)
        return ExitCode.UNAVAILABLE
    except Exception:
        traceback.print_exc()
        return ExitCode.BUG


def code_of(error: BaseException) -> ExitCode:
    """What a program that ends with this error leaves with."""
    if isinstance(error, (FoveaError, Terminated)):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, BrokenPipeError) or _is_of_the_machine(error):
        return ExitCode.UNAVAILABLE
    return ExitCode.BUG


def _is_of_the_machine(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _OF_THE_MACHINE and error.filename is not None


_OF_THE_MACHINE: Final = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENAMETOOLONG),
}
"""A file that may not be read or written, or has no room: not the program's fault, wherever it shows."""
