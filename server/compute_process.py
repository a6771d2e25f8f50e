"""One core's worth of the model: a process that decodes and computes what the server sends it.

`python -m server.compute_process FD`. In a process of its own it shares no interpreter lock with the server's
event loop, and a decoder that crashes on a hostile image takes neither the server nor other images with it.
It ends when the server closes the socket, however the server ended.
"""

import json
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from fovea.bundle import ModelBundle
from fovea.classifier import Classifier, SessionOptions
from fovea.errors import FoveaError
from fovea.logs import silence_decoders
from fovea.preprocess import decode_image
from server import wire
from server.compute import CpuCompute, Picture
from server.memory import return_large_blocks
from server.precision import choose_precision
from server.warm_up import warm_up

NICE: Final = 0
KEPT_BYTES: Final = 1024 * 1024


def main() -> None:
    return_large_blocks()
    # The event loop needs little, but at once: to refuse, to say that it is healthy, to hand over answers.
    os.nice(NICE)
    # The server decides when to stop: a terminal's Ctrl-C reaches every process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    silence_decoders()
    with socket.socket(fileno=int(sys.argv[1])) as server:
        frames = _Frames(server)
        if (first := frames.next()) is None:
            return
        settings = json.loads(bytes(first))
        try:
            bundle, compute, facts = _set_up(settings)
        except Exception as error:  # what a model that is not ours makes its runtime raise is not known
            kind = type(error).__name__
            text = str(error) if isinstance(error, FoveaError) else f"{kind}: {error}"
            server.sendall(wire.json_frame(wire.REFUSED, [kind, text]))
            return
        server.sendall(wire.json_frame(wire.READY, facts))
        decode = partial(
            decode_image,
            spec=bundle.contract.preprocess,
            max_bytes=settings["max_bytes"],
            max_pixels=settings["max_pixels"],
        )
        while (content := frames.next()) is not None:
            images, is_alone = wire.read_batch(content)
            pictures = [Picture(partial(decode, image)) for image in images]
            try:
                answer = wire.result_frame(compute(pictures, is_alone))
            except Exception as error:  # whatever the model's runtime raises
                answer = wire.json_frame(wire.FAILED, str(error))
            server.sendall(answer)


def _set_up(settings: dict[str, Any]) -> tuple[ModelBundle, CpuCompute, dict[str, Any]]:
    bundle = ModelBundle.open_again(Path(settings["bundle"]))
    cache = Path(settings["model_cache"]) if settings["model_cache"] else None
    precision = choose_precision(bundle, "cpu", settings["precision"], cache, SessionOptions(threads=1))
    narrow = Classifier(bundle, "cpu", precision=precision, options=SessionOptions(threads=1))
    wide = None
    if settings["wide_threads"] > 1:
        options = SessionOptions(threads=settings["wide_threads"], spinning=True)
        wide = Classifier(bundle, "cpu", precision=precision, options=options)
    compute = CpuCompute(narrow, wide)
    least_s, seen = warm_up(compute, bundle, settings["max_batch_size"], settings["enough_s"])
    return bundle, compute, {"least_s": least_s, "seen": seen, "precision": precision}


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
