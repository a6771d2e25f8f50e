"""What the server and its fronts say to each other, over a socket of their own: frames of bytes.

A frame is a kind (one byte), the length of what follows (4 bytes, little-endian) and that. What comes once
for every image is packed by hand, the rest is JSON.

from a front
image     number uint64, generation uint32, flags and what is wanted uint8, deadline float64 on
          CLOCK_MONOTONIC (infinite where there is none), offset in the arena and length uint64; with INLINE
          then the image itself
left      number: its caller no longer waits
call      generation uint32, answered uint8, began_ms uint64, five float64 as CallTimes has them, the name
live      generation: new calls go to it
heard     nothing: health says what it is to
unused    generation: no call uses it any more
ask       JSON: number, what, generation of a version, name of a model
opened    JSON: nothing; or the error with which it ends
drained   uint8: 1 where no call had to be cut

from the server
answer    number uint64, batch_size and best uint32, abstained and what is there uint8, decode_s, queue_s,
          compute_s float64; then the image's row, float32, see `server.compute.wants`
refused   number uint64, and the error in JSON
gone      number: the image whose caller left is not read any more
model     JSON: a version that is live from now on, its model's name and its generation
second    JSON: name of a model, and the version that is beside its current one from now on, or null
added     the name of a model, of which a version may follow
removed   the name of a model that is served no more
ready     JSON: whether health is to say that all are ready, and the names of the models that are
drain     float64: the seconds that calls in flight have
reply     JSON: number, and a value or an error
"""

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any, Final

IMAGE, LEFT, CALL, LIVE, HEARD, UNUSED, ASK = b"I", b"L", b"C", b"V", b"H", b"U", b"?"
OPENED, DRAINED = b"O", b"d"
ANSWER, REFUSED, GONE, MODEL, READY, DRAIN, REPLY = b"A", b"X", b"G", b"M", b"R", b"D", b"!"
ADDED, REMOVED, SECOND = b"N", b"Z", b"2"
SET_UP: Final = b"S"
"""The first frame that a front gets; two descriptors come with it, the arena's and the page's."""

RECEIVED_BYTES: Final = 64 * 1024
"""At a time, at most."""

HEADER: Final = struct.Struct("<cI")
OF_IMAGE: Final = struct.Struct("<QIBBdQQ")
OF_ANSWER: Final = struct.Struct("<QIIBBddd")
OF_CALL: Final = struct.Struct("<IBQ5d")
NUMBER: Final = struct.Struct("<Q")
SECONDS: Final = struct.Struct("<d")

CROP, BULK, INLINE, MORE = 1, 2, 4, 8
"""Flags of an image; MORE: it is not the first of its call."""


class Link(asyncio.BufferedProtocol):
    """Frames to and from the other side; those of one turn of the loop go out together."""

    def __init__(
        self,
        received: Callable[[bytes, memoryview], None],
        lost: Callable[[], None],
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        """`received` is told of each frame; its content is `bytes` beneath, and stays as it is.

        `soon` has what is sent go out together; by default, that of a turn of the loop.
        """
        self._soon = soon or asyncio.get_running_loop().call_soon
        self._received = received
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes | memoryview] = []
        self._buffer = bytearray(RECEIVED_BYTES)
        self._rest = bytearray()
        self._needed = 0
        """Bytes of the frame that has begun, or of its header."""

    def send(self, kind: bytes, *parts: bytes | memoryview) -> None:
        """To nobody where the other side has left."""
        if self._transport is None:
            return
        if not self._outgoing:
            self._soon(self._flush)
        self._outgoing.append(HEADER.pack(kind, sum(map(len, parts))))
        self._outgoing += parts

    def send_json(self, kind: bytes, content: object) -> None:
        self.send(kind, to_json(content))

    def close(self) -> None:
        """What was sent is still written; nobody is told of the end."""
        self._flush()
        self._lost = _nobody
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it is a socket's
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._outgoing.clear()
        self._lost()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(memoryview(self._buffer)[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Some bytes more."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        at, size, view = 0, len(data), memoryview(data)
        while size - at >= HEADER.size:
            kind, length = HEADER.unpack_from(data, at)
            end = at + HEADER.size + length
            if end > size:
                break
            self._received(kind, view[at + HEADER.size : end])
            at = end
        if at < size:
            self._needed = HEADER.size if size - at < HEADER.size else end - at
            self._rest += view[at:]

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self._transport is not None and outgoing:
            self._transport.write(b"".join(outgoing))


def to_json(content: object) -> bytes:
    return json.dumps(content).encode()


def from_json(content: memoryview) -> Any:
    return json.loads(bytes(content))


def _nobody() -> None:
    """Is told instead."""
