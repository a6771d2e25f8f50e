"""A process that makes one crop, for `server.http.cropper`: `python -m server.http.crop_process crop FD`.

In a process of its own: a decoder that crashes on a hostile image does not take the calls' process with it.
It is sent a line of JSON, then the image up to the end; it answers DONE and the crop as PNG, or REFUSED and
[reason, message] in JSON.
"""

import io
import json
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

from PIL import Image

from fovea.errors import ImageInvalid
from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec
from server.compute.own_end import end_with_the_server, name_itself

MODULE: Final = "server.http.crop_process"
DONE: Final = b"D"
REFUSED: Final = b"R"


def main() -> None:
    end_with_the_server()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # the server alone decides when it ends
    name_itself("crop")
    with socket.socket(fileno=int(sys.argv[2])) as server, suppress(OSError):  # it waits no more
        server.sendall(answer(_all_of(server)))


def request(spec: PreprocessSpec, max_bytes: int, max_pixels: int) -> bytes:
    """What goes before the image."""
    asked = {"spec": spec.model_dump(mode="json"), "max_bytes": max_bytes, "max_pixels": max_pixels}
    return json.dumps(asked).encode() + b"\n"


def answer(asked: bytes) -> bytes:
    head, _, image = asked.partition(b"\n")
    how = json.loads(head)
    spec = PreprocessSpec.model_validate(how.pop("spec"))
    try:
        crop = decode_image(image, spec, **how)
    except ImageInvalid as error:
        return REFUSED + json.dumps([error.reason, str(error)]).encode()
    file = io.BytesIO()
    Image.fromarray(crop).save(file, "PNG")
    return DONE + file.getvalue()


def _all_of(server: socket.socket) -> bytes:
    with server.makefile("rb") as received:
        return received.read()


if __name__ == "__main__":
    main()
