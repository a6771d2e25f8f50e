"""Batches of all kinds of items, and results with rows of several sizes, as they cross to a process."""

import numpy as np
import pytest

from fovea.errors import ImageInvalid
from server.compute import wire
from server.compute.backend import WorkItem
from server.compute.wants import DISTANCE, DRAW, EMBEDDING, LOGITS, Row
from server.errors import ComputeFailed
from server.queue.worker import Computed

ENCODED = [WorkItem(b"one"), WorkItem(b""), WorkItem(b"three")]
MIXED = [
    WorkItem(b"encoded"),
    WorkItem(b"crop", is_crop=True),
    WorkItem(b"with logits", wants=LOGITS),
    WorkItem(b"both", is_crop=True, wants=LOGITS),
    WorkItem(b"everything", wants=LOGITS | EMBEDDING | DISTANCE | DRAW),
]


def content(frame: bytes) -> bytes:
    return frame[wire.HEADER.size :]


@pytest.mark.parametrize("items", [ENCODED, MIXED, MIXED[1:2], [WorkItem(b"lone")]])
@pytest.mark.parametrize("is_alone", [True, False])
def test_a_batch_crosses_as_it_was(items: list[WorkItem], is_alone: bool) -> None:
    frame = b"".join(wire.batch_frame(items, is_alone))
    assert wire.HEADER.unpack_from(frame)[1] == len(content(frame))
    crossed, alone = wire.read_batch(memoryview(content(frame)))
    assert alone is is_alone
    assert [fields(item) for item in crossed] == [fields(item) for item in items]


def fields(item: WorkItem) -> tuple[bytes | memoryview, bool, int]:
    return item.content, item.is_crop, item.wants


def test_the_bytes_of_a_crop_are_not_copied() -> None:
    pixels = memoryview(b"many crops")[5:]
    assert wire.batch_frame([WorkItem(pixels, is_crop=True)], False)[1] is pixels


@pytest.mark.parametrize("sizes", [(3, 3), (6, 3), (3, 7), (9, 9)])
def test_a_result_crosses_as_it_was(sizes: tuple[int, int]) -> None:
    rows = [np.arange(size, dtype=np.float32) for size in sizes]
    outcomes: list[Row | Exception] = [
        rows[0],
        ImageInvalid("empty", "nothing"),
        rows[1],
        ValueError("odd"),
    ]
    sent = Computed(outcomes, [0.1, 0.2, 0.3, 0.4], 0.5, 0.6, is_typical=False)
    got = wire.read_result(content(wire.result_frame(sent)))
    assert (got.decode_s, got.compute_s, got.seconds, got.is_typical) == (
        (0.1, 0.2, 0.3, 0.4),
        0.5,
        0.6,
        False,
    )
    first, empty, last, odd = got.outcomes
    for outcome, expected in ((first, rows[0]), (last, rows[1])):
        assert isinstance(outcome, np.ndarray)
        np.testing.assert_array_equal(outcome, expected)
    assert isinstance(empty, ImageInvalid)
    assert empty.reason == "empty"
    assert isinstance(odd, ComputeFailed)
