"""`python -m server --models URI_OR_DIR`: serves a published model until SIGTERM."""

if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is somebody to look for versions
    from fovea import entry

    entry.run("server.__main__")  # runs this program to its end

from contextlib import suppress

from fovea.errors import ExitCode
from server.compute.template import TEMPLATE


def main() -> ExitCode:
    with suppress(OSError):  # it is tried again, and told, when there is a model
        TEMPLATE.begin()  # which loads while this process does
    try:
        from server.program import serve_as_told

        return serve_as_told()
    finally:
        TEMPLATE.end()
