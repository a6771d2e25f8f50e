"""python -m scorer run: a label for every image below a folder or a bucket's prefix."""

import signal
import sys
from collections.abc import Sequence
from types import FrameType

from fovea import logs
from fovea.errors import Terminated
from fovea.settings import choose_command, load, run
from scorer.config import RunSettings
from scorer.run import score

COMMANDS = {"run": "plan, score every shard and commit, on this machine"}


def main(arguments: Sequence[str]) -> None:
    _, rest = choose_command(COMMANDS, arguments, "python -m scorer")
    settings = load(RunSettings, rest, "python -m scorer run")
    logs.set_up(settings.log_level, settings.log_format)
    signal.signal(signal.SIGTERM, _terminate)
    score(settings)


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Ends the program as Ctrl-C would: what is under way is dropped, what is committed stays."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated("stopped by SIGTERM; run again with the same --run-id to finish")


if __name__ == "__main__":
    run(lambda: main(sys.argv[1:]))
