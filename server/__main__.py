"""`python -m server --models URI_OR_DIR`: serves a published model until SIGTERM."""

if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is somebody to look for versions
    from fovea import entry

    entry.run("server.__main__")  # runs this program to its end

import asyncio
import os
import sys
from contextlib import suppress

from fovea import logs
from fovea.errors import ExitCode
from fovea.malloc import return_large_blocks, share_one_heap
from fovea.settings import load
from server.compute.template import TEMPLATE
from server.config import PROGRAM, ServeSettings
from server.telemetry.grpc_log import leave_out_what_callers_do
from server.telemetry.log_queue import QueuedLog


def main() -> ExitCode:
    settings = load(ServeSettings, sys.argv[1:], PROGRAM)
    share_one_heap()
    return_large_blocks()
    log = QueuedLog(sys.stderr.fileno())
    logs.set_up(settings.log_level, settings.log_format, log)
    leave_out_what_callers_do()
    # gRPC's core would write lines of its own beside the one that an error ends with.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if settings.provider != "cuda":
        with suppress(OSError):  # it is tried again, and told, when there is a model
            TEMPLATE.begin()  # which loads while this process does
    from server import background
    from server.lifecycle import serve  # imports gRPC, and takes SIGINT itself

    try:
        code = asyncio.run(serve(settings))
    finally:
        TEMPLATE.end()
        log.flush()  # before the line that an error ends with
    background.leave(code)
    return code
