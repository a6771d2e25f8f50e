"""What the server and its compute processes say to each other, over a socket of their own.

A frame is a kind (one byte), the length of what follows (8 bytes, little-endian) and that. Setting up is told
in JSON; a batch and its result are packed by hand, for they come once for every few images:

batch    is_alone uint8, n uint32, n lengths uint64, then the n encoded images
result   n uint32, is_typical uint8, compute_s and seconds float64, n decode_s float64, m uint32 rows,
         m x classes probabilities float32, and in JSON [[index, reason, message], ...] of images that failed,
         the reason empty where it is not the image's fault
"""

import json
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from fovea.errors import InvalidImage
from server.errors import ComputeFailed
from server.worker import Computed

SET_UP: Final = b"S"
READY: Final = b"Y"
REFUSED: Final = b"X"
BATCH: Final = b"B"
RESULT: Final = b"R"
FAILED: Final = b"F"

HEADER: Final = struct.Struct("<cQ")
_BATCH: Final = struct.Struct("<BI")
_RESULT: Final = struct.Struct("<IBddI")


def frame(kind: bytes, content: bytes) -> bytes:
    return HEADER.pack(kind, len(content)) + content


def json_frame(kind: bytes, content: object) -> bytes:
    return frame(kind, json.dumps(content).encode())


def batch_frame(images: Sequence[bytes], is_alone: bool) -> list[bytes]:
    """In parts, so that the images need not be copied."""
    lengths = list(map(len, images))
    head = _BATCH.pack(is_alone, len(images)) + struct.pack(f"<{len(images)}Q", *lengths)
    return [HEADER.pack(BATCH, len(head) + sum(lengths)) + head, *images]


def read_batch(content: memoryview) -> tuple[list[bytes], bool]:
    is_alone, count = _BATCH.unpack_from(content)
    lengths = struct.unpack_from(f"<{count}Q", content, _BATCH.size)
    start = _BATCH.size + 8 * count
    images = []
    for length in lengths:
        images.append(bytes(content[start : start + length]))
        start += length
    return images, bool(is_alone)


def result_frame(computed: Computed) -> bytes:
    rows = [outcome for outcome in computed.outcomes if not isinstance(outcome, Exception)]
    errors = [
        (index, outcome.reason, str(outcome))
        if isinstance(outcome, InvalidImage)
        else (index, "", f"{type(outcome).__name__}: {outcome}")
        for index, outcome in enumerate(computed.outcomes)
        if isinstance(outcome, Exception)
    ]
    count = len(computed.outcomes)
    parts = [
        _RESULT.pack(count, computed.is_typical, computed.compute_s, computed.seconds, len(rows)),
        struct.pack(f"<{count}d", *computed.decode_s),
        *(row.tobytes() for row in rows),
        json.dumps(errors).encode() if errors else b"",
    ]
    return frame(RESULT, b"".join(parts))


def read_result(content: bytes, classes: int) -> Computed:
    count, is_typical, compute_s, seconds, rows = _RESULT.unpack_from(content)
    decode_s = struct.unpack_from(f"<{count}d", content, _RESULT.size)
    start = _RESULT.size + 8 * count
    values: npt.NDArray[np.float32] = np.frombuffer(content, np.float32, rows * classes, start)
    probabilities = iter(values.reshape(rows, classes))
    rest = content[start + values.nbytes :]
    failed = {index: _failure(reason, text) for index, reason, text in json.loads(rest)} if rest else {}
    outcomes = [failed.get(index) or next(probabilities) for index in range(count)]
    return Computed(outcomes, decode_s, compute_s, seconds, bool(is_typical))


def _failure(reason: str, text: str) -> Exception:
    return InvalidImage(reason, text) if reason else ComputeFailed(text)
