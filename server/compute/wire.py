"""What the server and its compute processes say to each other, over a socket of their own.

A frame is a kind (one byte), the length of what follows (8 bytes, little-endian) and that. Setting up is told
in JSON; a batch and its result are packed by hand, for they come once for every few images:

batch    flags uint8, n uint32, n lengths uint64; with TASKS n kinds uint8; then the n images, encoded unless
         their kind says CROP
result   n uint32, flags uint8, compute_s and seconds float64, m uint32 rows, n decode_s float64; with LOGITS
         m uint8 that are 2 for a row with logits and 1 for others; m rows of float32, each the probabilities
         of all classes, then the logits where it has them; and in JSON [[index, reason, message], ...] of
         images that failed, the reason empty where it is not the image's fault
"""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from fovea.errors import ImageInvalid
from server.compute.work_item import Task
from server.errors import ComputeFailed
from server.queue.worker import Computed

SET_UP: Final = b"S"
READY: Final = b"Y"
REFUSED: Final = b"X"
BATCH: Final = b"B"
RESULT: Final = b"R"
FAILED: Final = b"F"

ALONE: Final = 1
TASKS: Final = 2
"""Flags of a batch."""
CROP: Final = 1
WITH_LOGITS: Final = 2
"""Flags of an image's kind."""
TYPICAL: Final = 1
LOGITS: Final = 2
"""Flags of a result."""

Row = npt.NDArray[np.float32]

HEADER: Final = struct.Struct("<cQ")
_BATCH: Final = struct.Struct("<BI")
_RESULT: Final = struct.Struct("<IBddI")


@dataclass(frozen=True)
class ProcessSettings:
    """What a compute process is told."""

    bundle: str
    """The bundle's folder."""
    digest: str
    """Of its model.onnx: another bundle may be there when the process is started again."""
    precision: str
    """May be auto."""
    model_cache: str
    """Where a choice of precision is remembered; the default cache if empty."""
    classes: int
    wide_threads: int
    """Cores of a lone image; 1 where another process does that."""
    max_batch_size: int
    target_batch_s: float
    max_bytes: int
    max_pixels: int
    log_level: str
    log_format: str


def frame(kind: bytes, content: bytes) -> bytes:
    return HEADER.pack(kind, len(content)) + content


def json_frame(kind: bytes, content: object) -> bytes:
    return frame(kind, json.dumps(content).encode())


def batch_frame(images: Sequence[bytes | Task], is_alone: bool) -> list[bytes | memoryview]:
    """In parts, so that the images need not be copied."""
    lengths = list(map(len, images))
    kinds = _kinds(images)
    flags = is_alone * ALONE | bool(kinds) * TASKS
    head = _BATCH.pack(flags, len(images)) + struct.pack(f"<{len(images)}Q", *lengths) + kinds
    contents = [image.content if isinstance(image, Task) else image for image in images] if kinds else images
    return [HEADER.pack(BATCH, len(head) + sum(lengths)) + head, *cast("Sequence[bytes]", contents)]


def read_batch(content: memoryview) -> tuple[Sequence[bytes | Task], bool]:
    flags, count = _BATCH.unpack_from(content)
    lengths = struct.unpack_from(f"<{count}Q", content, _BATCH.size)
    start = _BATCH.size + 8 * count
    kinds = bytes(content[start : start + count]) if flags & TASKS else b""
    start += len(kinds)
    images = []
    for length in lengths:
        images.append(bytes(content[start : start + length]))
        start += length
    return _of_kinds(images, kinds) if kinds else images, bool(flags & ALONE)


def _of_kinds(images: list[bytes], kinds: bytes) -> list[bytes | Task]:
    return [
        Task(image, bool(kind & CROP), bool(kind & WITH_LOGITS)) if kind else image
        for image, kind in zip(images, kinds, strict=True)
    ]


def _kinds(images: Sequence[bytes | Task]) -> bytes:
    """Empty where all are encoded images whose probabilities are wanted, as nearly always."""
    if Task not in set(map(type, images)):
        return b""
    return bytes(
        image.is_crop * CROP | image.wants_logits * WITH_LOGITS if isinstance(image, Task) else 0
        for image in images
    )


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
    has_logits = 2 in {row.ndim for row in rows}
    flags = computed.is_typical * TYPICAL | has_logits * LOGITS
    parts = [
        _RESULT.pack(count, flags, computed.compute_s, computed.seconds, len(rows)),
        struct.pack(f"<{count}d", *computed.decode_s),
        bytes(row.ndim for row in rows) if has_logits else b"",
        *(row.tobytes() for row in rows),
        json.dumps(errors).encode() if errors else b"",
    ]
    return frame(RESULT, b"".join(parts))


def read_result(content: bytes, classes: int) -> Computed:
    count, flags, compute_s, seconds, good = _RESULT.unpack_from(content)
    decode_s = struct.unpack_from(f"<{count}d", content, _RESULT.size)
    start = _RESULT.size + 8 * count
    rows, end = (_rows_of_either_kind if flags & LOGITS else _rows)(content, start, good, classes)
    rest = content[end:]
    failed = {index: _failure(reason, text) for index, reason, text in json.loads(rest)} if rest else {}
    remaining = iter(rows)
    outcomes = [failed.get(index) or next(remaining) for index in range(count)]
    return Computed(outcomes, decode_s, compute_s, seconds, bool(flags & TYPICAL))


def _rows(content: bytes, start: int, count: int, classes: int) -> tuple[Iterable[Row], int]:
    """The rows that begin at `start`, and where they end."""
    values: Row = np.frombuffer(content, np.float32, count * classes, start)
    return values.reshape(count, classes), start + values.nbytes


def _rows_of_either_kind(content: bytes, start: int, count: int, classes: int) -> tuple[Iterable[Row], int]:
    """The same, where some are float32 [2, classes], the logits second."""
    heights, start = content[start : start + count], start + count
    values: Row = np.frombuffer(content, np.float32, sum(heights) * classes, start)
    parts = np.split(values, np.cumsum([height * classes for height in heights])[:-1])
    rows = [part.reshape(2, -1) if len(part) > classes else part for part in parts]
    return rows, start + values.nbytes


def _failure(reason: str, text: str) -> Exception:
    return ImageInvalid(reason, text) if reason else ComputeFailed(text)
