"""One core's worth of the model: a process that decodes and computes what the server sends it.

`python -m server.compute_process FD`. In a process of its own it shares no interpreter lock with the server's
event loop, and a decoder that crashes on a hostile image takes neither the server nor other images with it.
It ends when the server closes the socket, however the server ended.
"""

if __name__ == "__main__":
    import signal

    # Before anything that takes time: the server alone decides when this process ends.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    from server.compute.compute_process import main as run

    run()
    raise SystemExit

import ctypes
import json
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from fovea import logs
from fovea.errors import BundleInvalid, FoveaError, Unavailable
from fovea.images.preprocess import Pixels, decode_image
from fovea.malloc import return_large_blocks
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier, SessionOptions
from server.compute import wire
from server.compute.compute import CpuCompute
from server.compute.precision import choose_precision
from server.compute.warm_up import warm_up
from server.compute.work_item import picture_of

_PR_SET_PDEATHSIG: Final = 1

KEPT_BYTES: Final = 1024 * 1024


def main() -> None:
    return_large_blocks()
    _end_with_the_server()
    with socket.socket(fileno=int(sys.argv[1])) as server, suppress(BrokenPipeError, ConnectionResetError):
        frames = _Frames(server)
        if (first := frames.next()) is None:
            return
        settings = json.loads(bytes(first))
        logs.set_up(settings["log_level"], settings["log_format"])
        try:
            bundle, compute, facts = _set_up(settings)
        except Exception as error:  # what a model that is not ours makes its runtime raise is not known
            server.sendall(_refusal(error))
            return
        server.sendall(wire.json_frame(wire.READY, facts))
        decode = partial(
            decode_image,
            spec=bundle.contract.preprocess,
            max_bytes=settings["max_bytes"],
            max_pixels=settings["max_pixels"],
        )
        while (content := frames.next()) is not None:
            server.sendall(_answer(content, compute, decode, bundle.contract.preprocess.size))


def _end_with_the_server() -> None:
    """Also where this process hangs and never sees the socket's end; Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer(content: memoryview, compute: CpuCompute, decode: Callable[[bytes], Pixels], side: int) -> bytes:
    images, is_alone = wire.read_batch(content)
    try:
        return wire.result_frame(compute([picture_of(image, decode, side) for image in images], is_alone))
    except Exception as error:  # whatever the model's runtime raises
        return wire.json_frame(wire.FAILED, f"{type(error).__name__}: {error}")


def _refusal(error: Exception) -> bytes:
    if isinstance(error, FoveaError):
        kind, text = type(error).__name__, str(error)
    elif isinstance(error, MemoryError):  # the same version may load when there is room
        kind, text = Unavailable.__name__, "there is not enough memory for the model"
    else:
        kind, text = BundleInvalid.__name__, f"{type(error).__name__}: {error}"
    return wire.json_frame(wire.REFUSED, [kind, text])


def _set_up(settings: dict[str, Any]) -> tuple[ModelBundle, CpuCompute, dict[str, Any]]:
    bundle = ModelBundle.open_again(Path(settings["bundle"]))
    if bundle.digest != settings["digest"]:
        raise Unavailable(f"{bundle.path}: another model is here than the one that is served")
    cache = Path(settings["model_cache"]) if settings["model_cache"] else None
    precision = choose_precision(bundle, "cpu", settings["precision"], cache, SessionOptions(threads=1))
    narrow = Classifier(bundle, "cpu", precision=precision, options=SessionOptions(threads=1))
    wide = None
    if settings["wide_threads"] > 1:
        options = SessionOptions(threads=settings["wide_threads"], spinning=True)
        wide = Classifier(bundle, "cpu", precision=precision, options=options)
    compute = CpuCompute(narrow, wide)
    compute.find_best_size(bundle.golden().crops[0])
    least_s, seen = warm_up(compute, bundle, settings["max_batch_size"], settings["target_batch_s"])
    return (
        bundle,
        compute,
        {"least_s": least_s, "seen": seen, "precision": precision, "together": compute.together},
    )


class _Frames:
    """Frames from the server, in a buffer that is used again for each but the largest."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._buffer = bytearray(KEPT_BYTES)

    def next(self) -> memoryview | None:
        """The content of the next frame, until the one after it is asked for; None at the socket's end."""
        header = self._receive(wire.HEADER.size)
        if header is None:
            return None
        _, length = wire.HEADER.unpack(header)
        return self._receive(length)

    def _receive(self, length: int) -> memoryview | None:
        content = memoryview(self._buffer if length <= KEPT_BYTES else bytearray(length))[:length]
        done = 0
        while done < length:
            got = self._server.recv_into(content[done:], length - done, socket.MSG_WAITALL)
            if not got:
                return None
            done += got
        return content


if __name__ == "__main__":
    main()
