"""python -m scorer run: a label for every image below a folder or a bucket's prefix."""

if __name__ == "__main__":
    from fovea import entry

    entry.run("scorer.__main__")  # runs this program to its end

import signal
import sys
from types import FrameType

from fovea import entry, logs
from fovea.errors import Terminated
from fovea.settings import choose_command, load
from scorer.config import RunSettings
from scorer.run import score

COMMANDS = {"run": "plan, score every shard and commit, on this machine"}


def main() -> None:
    entry.interrupt_by_exception()
    _, rest = choose_command(COMMANDS, sys.argv[1:], "python -m scorer")
    settings = load(RunSettings, rest, "python -m scorer run")
    logs.set_up(settings.log_level, settings.log_format)
    signal.signal(signal.SIGTERM, _terminate)
    score(settings)


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Ends the program as Ctrl-C would: what is under way is dropped, what is committed stays."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated("stopped by SIGTERM; run again with the same --run-id to finish")
