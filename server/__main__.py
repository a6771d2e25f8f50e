"""`python -m server --models URI_OR_DIR`: serves a published model until SIGTERM."""

import asyncio
import os
import sys

from fovea import logs
from fovea.errors import ExitCode
from fovea.settings import load, run
from server.config import PROGRAM, ServeSettings


def main() -> ExitCode:
    settings = load(ServeSettings, sys.argv[1:], PROGRAM)
    logs.set_up(settings.log_level, settings.log_format)
    # gRPC's core writes lines of its own to stderr, beside the one that we end with.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Imported late: a wrong flag or --help need not wait for onnxruntime and gRPC.
    from server.lifecycle import serve

    return asyncio.run(serve(settings))


if __name__ == "__main__":
    run(main)
