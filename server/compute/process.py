"""One core's worth of a model, or of several: a process that decodes and computes what the server sends it.

In a process of its own it shares no interpreter lock with the server's event loop, and a decoder that crashes
on a hostile image takes neither the server nor other images with it. It ends when the server closes the
socket, however the server ended. `server.compute.template` starts it: `python -m server.compute.process fork
FD` loads all this and then forks one whenever it is asked to.
"""

if __name__ == "__main__":
    import signal

    # Before anything that takes time: the server alone decides when this process ends.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    try:
        from server.compute.process import main as run
    except ModuleNotFoundError:  # which the server misses too, and says
        raise SystemExit(1) from None
    run()
    raise SystemExit

import logging
import os
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from fovea import logs
from fovea.errors import Unavailable
from fovea.malloc import return_large_blocks
from fovea.model import shared_weights
from fovea.model.bundle import ModelBundle, Precision, read_contract
from fovea.model.classifier import Classifier, SessionOptions
from fovea.model.saturation import needs_exact_sums
from server.compute import template, wire
from server.compute.arenas import Arenas
from server.compute.backend import CpuBackend, Decoder
from server.compute.forking import fork_on_request
from server.compute.own_end import end_with_the_server, give_way, name_itself
from server.compute.own_memory import own_anonymous_bytes
from server.compute.precision import choose_precision
from server.compute.start_up import ProcessReady, ProcessRefusal, ProcessSettings, to_json
from server.compute.warm_up import WarmUp, find_run_size, warm_up

logger = logging.getLogger(__name__)


def main() -> None:
    """`fork FD`, or `compute FD`, where the other end of the socket is the server's."""
    what, descriptor = sys.argv[1:]
    with socket.socket(fileno=int(descriptor)) as server:
        if what == template.FORK:
            name_itself(what)
            fork_on_request(server, compute)
        else:
            compute(server)


def compute(server: socket.socket) -> None:
    """Sets up each model that is asked for, and answers batches."""
    return_large_blocks()
    end_with_the_server()
    name_itself(template.COMPUTE)
    with suppress(BrokenPipeError, ConnectionResetError):
        _answer_frames(server)


def _answer_frames(server: socket.socket) -> None:
    """Until the socket's end."""
    frames, backends = wire.Frames(server), dict[int, CpuBackend]()

    def change(kind: bytes, content: memoryview) -> bytes:
        if kind == wire.DROP:
            (slot,) = wire.SLOT.unpack(content)
            backends.pop(slot, None)
            return b""
        settings = ProcessSettings.from_json(bytes(content))
        if frames.arenas is None:
            logs.set_up(settings.log_level, settings.log_format)
            frames.arenas = Arenas(settings.descriptors)
        return _answer_set_up(settings, frames.arenas, backends)

    frames.answer(change, backends)


def _answer_set_up(settings: ProcessSettings, arenas: Arenas, backends: dict[int, CpuBackend]) -> bytes:
    """Puts what is asked for among the backends."""
    before = own_anonymous_bytes()
    try:
        backends[settings.slot], ready = _set_up(settings)
    except Exception as error:  # what a model that is not ours makes its runtime raise is not known
        return wire.frame(wire.REFUSED, to_json(ProcessRefusal.of(error)))
    if settings.is_spare:
        give_way()
    ready = replace(
        ready,
        reads_arenas=bool(settings.descriptors) and arenas.can_be_read,
        memory_bytes=max(0, own_anonymous_bytes() - before),
    )
    return wire.frame(wire.READY, to_json(ready))


def _set_up(settings: ProcessSettings) -> tuple[CpuBackend, ProcessReady]:
    """The first process measures, and writes what the others map; they take its word."""
    is_first = not settings.run_images
    shared = None if is_first else _shared_by_the_first(settings)
    try:
        return _open(settings, is_first, shared)
    except Exception as error:
        if shared is None:
            raise
        logger.warning("those that all share are no more, this process keeps weights for itself: %s", error)
        return _open(settings, is_first, None)


def _debug(done: str) -> None:
    logger.debug(done, extra={"pid": os.getpid()})  # of several processes whose lines mix


def _open(settings: ProcessSettings, is_first: bool, shared: Path | None) -> tuple[CpuBackend, ProcessReady]:
    bundle = _open_bundle(settings, shared)
    cache = Path(settings.model_cache) if settings.model_cache else None
    precision = choose_precision(bundle, "cpu", settings.precision, cache, SessionOptions(threads=1))
    _debug("the bundle is open")
    if is_first:
        shared = _share(bundle, precision, settings)
        _debug("the optimised model is written")
    classifier = partial(Classifier, bundle, "cpu", precision=precision, shared=shared)
    # Where all golden images were seen to be right, that of a session more is seen by a few.
    options = SessionOptions(threads=1, shares_arena=True)
    narrow = classifier(options=options, golden_images=settings.run_images or None)
    wide = None
    if settings.wide_threads > 1:
        in_parallel = replace(options, threads=settings.wide_threads, spinning=True)
        wide = classifier(options=in_parallel, golden_images=1)
    _debug("the model is loaded, and its golden answers are right")
    spec = bundle.contract.preprocess
    backend = CpuBackend(narrow, Decoder(spec), wide, bundle.known_classes())
    backend.run_images = settings.run_images or find_run_size(narrow, bundle.golden().crops[0])
    if is_first:
        warmed_up = warm_up(backend, bundle, settings.max_batch_size, settings.target_batch_s)
    else:
        warmed_up = WarmUp(0.0, ())
    _debug("the model is warm")
    # The golden images are whatever they are; callers' have limits.
    backend.decode = Decoder(spec, settings.max_bytes, settings.max_pixels)
    return backend, ProcessReady(precision, warmed_up, backend.run_images)


def _open_bundle(settings: ProcessSettings, shared: Path | None) -> ModelBundle:
    """What is not run here, because the model that all share is, is not verified again by each."""
    path = Path(settings.bundle)
    bundle = ModelBundle(path, read_contract(path)) if shared else ModelBundle.open_again(path)
    if bundle.digest != settings.digest:
        raise Unavailable(f"{bundle.path}: another model is here than the one that is served")
    return bundle


def _shared_by_the_first(settings: ProcessSettings) -> Path | None:
    """The model as it is to be opened, None where each process has to keep its weights for itself."""
    model = Path(settings.shared_weights, settings.precision, shared_weights.MODEL)
    return model if settings.shared_weights and model.exists() else None


def _share(bundle: ModelBundle, precision: Precision, settings: ProcessSettings) -> Path | None:
    """The same, of what this process writes for all."""
    if not settings.shared_weights:
        return None
    file = bundle.file_of(precision)
    try:
        folder = Path(settings.shared_weights, precision)
        return shared_weights.share(file, folder, exact_sums=needs_exact_sums(precision))
    except Unavailable as error:
        logger.warning("each process keeps the model's weights for itself: %s", error)
        return None


if __name__ == "__main__":
    main()
