"""`python -m server --models URI_OR_DIR`: serves a published model until SIGTERM."""

import asyncio
import os
import sys

from fovea.errors import ExitCode
from fovea.settings import load, run


def main() -> ExitCode:
    # Imported in here, so that a Ctrl-C while onnxruntime and gRPC load ends as quietly as a later one.
    from fovea import logs
    from server.config import PROGRAM, ServeSettings

    settings = load(ServeSettings, sys.argv[1:], PROGRAM)
    logs.set_up(settings.log_level, settings.log_format)
    # gRPC's core would write lines of its own beside the one that an error ends with.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from server.lifecycle import serve

    return asyncio.run(serve(settings))


if __name__ == "__main__":
    run(main)
