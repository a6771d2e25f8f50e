"""What the server and its compute processes say to each other, over a socket of their own: frames of bytes.

A frame is a kind (one byte), the length of what follows (8 bytes, little-endian) and that. A process may have
several models, each in a slot of its number. To set one up is said in JSON, see `start_up`; a batch and its
result are packed by hand, for they come once for every few images. Every frame from the server is answered,
in their order, but this one:

drop     slot uint16: its model is not needed any more

batch    flags uint8, slot uint16, n uint32, n lengths uint64, n kinds uint8; then the n images, encoded
         unless their kind says CROP; of one that says PLACED it is where the image lies, see `arenas`; the
         kind says too what is wanted of an image
result   n uint32, flags uint8, compute_s and seconds float64, m uint32 rows, n decode_s float64, m uint32
         that say how many values each row has; m rows of float32, see `wants`; and in JSON [[index, reason,
         message], ...] of images that failed, the reason empty where it is not the image's fault
"""

import json
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from fovea.errors import ImageInvalid
from server.compute.arenas import Arenas
from server.compute.backend import WorkItem
from server.compute.wants import Row
from server.errors import ComputeFailed
from server.queue.worker import Compute, Computed

SET_UP: Final = b"S"
READY: Final = b"Y"
REFUSED: Final = b"X"
BATCH: Final = b"B"
DROP: Final = b"D"
RESULT: Final = b"R"
FAILED: Final = b"F"

ALONE: Final = 1
"""Flag of a batch."""
CROP: Final = 1
PLACED: Final = 2
WANTS_SHIFT: Final = 4
"""Flags of an image's kind, and where those begin of what it wants."""
TYPICAL: Final = 1
"""Flag of a result."""

KEPT_BYTES: Final = 1024 * 1024
"""Of what a process receives frames in; more is given back."""

HEADER: Final = struct.Struct("<cQ")
SLOT: Final = struct.Struct("<H")
_BATCH: Final = struct.Struct("<BHI")
_RESULT: Final = struct.Struct("<IBddI")


class Frames:
    """Frames from the server, in a buffer that is used again for each but the largest."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.arenas: Arenas | None = None
        """Where images lie that do not come in the frames."""
        self._buffer = bytearray(KEPT_BYTES)

    def answer(
        self, set_up: Callable[[bytes, memoryview], bytes], slots: Mapping[int, Compute[WorkItem]]
    ) -> None:
        """Returns at the socket's end. `set_up` gets all other frames, and gives their answers."""
        for kind, content in self:
            if kind == BATCH:
                self._server.sendall(answer(content, slots[slot_of(content)], self.arenas))
            elif reply := set_up(kind, content):
                self._server.sendall(reply)

    def __iter__(self) -> Iterator[tuple[bytes, memoryview]]:
        """Kind and content of each, the latter until the next is asked for; up to the socket's end."""
        while (header := self._receive(HEADER.size)) is not None:
            kind, length = HEADER.unpack(header)
            content = self._receive(length)
            if content is None:
                return
            yield kind, content

    def _receive(self, length: int) -> memoryview | None:
        content = memoryview(self._buffer if length <= KEPT_BYTES else bytearray(length))[:length]
        done = 0
        while done < length:
            size = self._server.recv_into(content[done:], length - done, socket.MSG_WAITALL)
            if not size:
                return None
            done += size
        return content


def frame(kind: bytes, content: bytes) -> bytes:
    return HEADER.pack(kind, len(content)) + content


def batch_frame(
    items: Sequence[WorkItem], is_alone: bool, *, by_place: bool = False, slot: int = 0
) -> list[bytes | memoryview]:
    """In parts, so that the images need not be copied; `by_place` leaves where they are those that can be."""
    contents: list[bytes | memoryview] = []
    kinds: list[int] = []
    for item in items:
        kind = item.is_crop * CROP | item.wants << WANTS_SHIFT
        if by_place and item.place is not None:
            contents.append(item.place.packed(len(item.content)))
            kind |= PLACED
        else:
            contents.append(item.content)
        kinds.append(kind)
    count, lengths = len(items), list(map(len, contents))
    head = _BATCH.pack(is_alone * ALONE, slot, count) + struct.pack(f"<{count}Q{count}B", *lengths, *kinds)
    return [HEADER.pack(BATCH, len(head) + sum(lengths)) + head, *contents]


def slot_of(content: memoryview) -> int:
    """Whose model a batch is for."""
    _, slot, _ = _BATCH.unpack_from(content)
    return int(slot)


def read_batch(content: memoryview, arenas: Arenas | None = None) -> tuple[list[WorkItem], bool]:
    """The items, with bytes of their own, and whether there is no other image in the server."""
    flags, _, count = _BATCH.unpack_from(content)
    heads = struct.Struct(f"<{count}Q{count}B")
    numbers, at = heads.unpack_from(content, _BATCH.size), _BATCH.size + heads.size
    items = []
    for length, kind in zip(numbers[:count], numbers[count:], strict=True):
        sent = content[at : at + length]
        image = arenas.image_at(sent) if arenas is not None and kind & PLACED else bytes(sent)
        items.append(WorkItem(image, bool(kind & CROP), kind >> WANTS_SHIFT))
        at += length
    return items, bool(flags & ALONE)


def answer(content: memoryview, run: Compute[WorkItem], arenas: Arenas | None = None) -> bytes:
    """The frame that answers a batch."""
    try:
        items, is_alone = read_batch(content, arenas)
        return result_frame(run(items, is_alone))
    except Exception as error:  # whatever the model's runtime raises
        return frame(FAILED, f"{type(error).__name__}: {error}".encode())


def result_frame(computed: Computed) -> bytes:
    rows = [outcome for outcome in computed.outcomes if not isinstance(outcome, Exception)]
    errors = [
        (index, outcome.reason, str(outcome))
        if isinstance(outcome, ImageInvalid)
        else (index, "", f"{type(outcome).__name__}: {outcome}")
        for index, outcome in enumerate(computed.outcomes)
        if isinstance(outcome, Exception)
    ]
    count = len(computed.outcomes)
    sizes = [len(row) for row in rows]
    parts = [
        _RESULT.pack(count, computed.is_typical * TYPICAL, computed.compute_s, computed.seconds, len(rows)),
        struct.pack(f"<{count}d{len(rows)}I", *computed.decode_s, *sizes),
        *(row.tobytes() for row in rows),
        json.dumps(errors).encode() if errors else b"",
    ]
    return frame(RESULT, b"".join(parts))


def read_result(content: bytes) -> Computed:
    count, flags, compute_s, seconds, good = _RESULT.unpack_from(content)
    numbers = struct.Struct(f"<{count}d{good}I")
    values, start = numbers.unpack_from(content, _RESULT.size), _RESULT.size + numbers.size
    rows, end = _rows(content, start, values[count:])
    rest = content[end:]
    failed = {index: _failure(reason, text) for index, reason, text in json.loads(rest)} if rest else {}
    remaining = iter(rows)
    outcomes = [failed.get(index) or next(remaining) for index in range(count)]
    return Computed(outcomes, values[:count], compute_s, seconds, bool(flags & TYPICAL))


def _rows(content: bytes, start: int, sizes: tuple[int, ...]) -> tuple[Iterable[Row], int]:
    """The rows that begin at `start`, and where they end."""
    values: Row = np.frombuffer(content, np.float32, sum(sizes), start)
    if len(set(sizes)) == 1:
        return values.reshape(len(sizes), -1), start + values.nbytes
    return np.split(values, np.cumsum(sizes)[:-1]) if sizes else (), start + values.nbytes


def _failure(reason: str, text: str) -> Exception:
    return ImageInvalid(reason, text) if reason else ComputeFailed(text)
