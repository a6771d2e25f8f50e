"""`python -m server.triton --models URI_OR_DIR --repository DIR`: lays a published model out for Triton."""

if __name__ == "__main__":
    from fovea import entry

    entry.run("server.triton.__main__")  # runs this program to its end

import sys

from fovea import logs
from fovea.errors import ExitCode
from fovea.settings import load
from server.triton.config import PROGRAM, TritonSettings
from server.triton.following import Follower, follow_until_stopped


def main() -> ExitCode:
    settings = load(TritonSettings, sys.argv[1:], PROGRAM)
    logs.set_up(settings.log_level, settings.log_format)
    follower = Follower(settings)
    follower.lay_out_first()
    if settings.follow:
        return follow_until_stopped(follower, settings.watch_interval_s)
    return ExitCode.DONE
