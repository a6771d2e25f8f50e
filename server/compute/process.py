"""One core's worth of the model: a process that decodes and computes what the server sends it.

`python -m server.compute.process FD`. In a process of its own it shares no interpreter lock with the server's
event loop, and a decoder that crashes on a hostile image takes neither the server nor other images with it.
It ends when the server closes the socket, however the server ended.
"""

if __name__ == "__main__":
    import signal

    # Before anything that takes time: the server alone decides when this process ends.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    from server.compute.process import main as run

    run()
    raise SystemExit

import ctypes
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from fovea import logs
from fovea.errors import Unavailable
from fovea.malloc import return_large_blocks
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier, SessionOptions
from server.compute import wire
from server.compute.backend import CpuBackend, Decoder
from server.compute.precision import choose_precision
from server.compute.start_up import ProcessReady, ProcessRefusal, ProcessSettings, to_json
from server.compute.warm_up import find_run_size, warm_up

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    return_large_blocks()
    _end_with_the_server()
    with socket.socket(fileno=int(sys.argv[1])) as server, suppress(BrokenPipeError, ConnectionResetError):
        frames = wire.Frames(server)
        if (first := frames.next()) is None:
            return
        settings = ProcessSettings.from_json(bytes(first))
        logs.set_up(settings.log_level, settings.log_format)
        try:
            backend, ready = _set_up(settings)
        except Exception as error:  # what a model that is not ours makes its runtime raise is not known
            server.sendall(wire.frame(wire.REFUSED, to_json(ProcessRefusal.of(error))))
            return
        server.sendall(wire.frame(wire.READY, to_json(ready)))
        frames.answer_batches(backend)


def _end_with_the_server() -> None:
    """Also where this process hangs and never sees the socket's end; Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _set_up(settings: ProcessSettings) -> tuple[CpuBackend, ProcessReady]:
    bundle = ModelBundle.open_again(Path(settings.bundle))
    if bundle.digest != settings.digest:
        raise Unavailable(f"{bundle.path}: another model is here than the one that is served")
    cache = Path(settings.model_cache) if settings.model_cache else None
    precision = choose_precision(bundle, "cpu", settings.precision, cache, SessionOptions(threads=1))
    narrow = Classifier(bundle, "cpu", precision=precision, options=SessionOptions(threads=1))
    wide = None
    if settings.wide_threads > 1:
        options = SessionOptions(threads=settings.wide_threads, spinning=True)
        wide = Classifier(bundle, "cpu", precision=precision, options=options)
    spec = bundle.contract.preprocess
    backend = CpuBackend(narrow, Decoder(spec), wide)
    backend.run_images = find_run_size(narrow, bundle.golden().crops[0])
    warmed_up = warm_up(backend, bundle, settings.max_batch_size, settings.target_batch_s)
    # The golden images are whatever they are; callers' have limits.
    backend.decode = Decoder(spec, settings.max_bytes, settings.max_pixels)
    return backend, ProcessReady(precision, warmed_up, backend.run_images)


if __name__ == "__main__":
    main()
