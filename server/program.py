"""The server as a program: what it is told, its log, and how it ends."""

import asyncio
import sys

from fovea import tracing
from fovea.errors import ExitCode
from fovea.malloc import return_large_blocks, share_one_heap
from fovea.settings import load
from server.compute.template import TEMPLATE
from server.config import PROGRAM, TRACED_AS, ServeSettings
from server.telemetry.log_queue import set_up_log


def serve_as_told() -> ExitCode:
    """By the command line and the environment."""
    settings = load(ServeSettings, sys.argv[1:], PROGRAM)
    share_one_heap()
    return_large_blocks()
    log = set_up_log(settings.log_level, settings.log_format)
    tracing.set_up(TRACED_AS)
    if settings.provider == "cuda":
        TEMPLATE.end()
    from server.lifecycle import serve  # imports gRPC, and takes SIGINT itself

    try:
        return asyncio.run(serve(settings))
    finally:
        TEMPLATE.end()
        tracing.shut_down()
        log.flush()  # before the line that an error ends with
