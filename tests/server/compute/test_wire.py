"""Batches of all kinds of items, and results with logits among the rows, as they cross to a process."""

import numpy as np
import pytest

from fovea.errors import ImageInvalid
from fovea.model.io_binding import Probabilities
from server.compute import wire
from server.compute.backend import WorkItem
from server.errors import ComputeFailed
from server.queue.worker import Computed

ENCODED = [WorkItem(b"one"), WorkItem(b""), WorkItem(b"three")]
MIXED = [
    WorkItem(b"encoded"),
    WorkItem(b"crop", is_crop=True),
    WorkItem(b"with logits", wants_logits=True),
    WorkItem(b"both", is_crop=True, wants_logits=True),
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


def fields(item: WorkItem) -> tuple[bytes | memoryview, bool, bool]:
    return item.content, item.is_crop, item.wants_logits


def test_the_bytes_of_a_crop_are_not_copied() -> None:
    pixels = memoryview(b"many crops")[5:]
    assert wire.batch_frame([WorkItem(pixels, is_crop=True)], False)[1] is pixels


def row(first: float, logits: bool = False) -> Probabilities:
    probabilities = np.arange(first, first + 3, dtype=np.float32)
    return np.stack((probabilities, probabilities - 100)) if logits else probabilities


@pytest.mark.parametrize("logits", [(False, False), (True, False), (False, True), (True, True)])
def test_a_result_crosses_as_it_was(logits: tuple[bool, bool]) -> None:
    outcomes: list[Probabilities | Exception] = [
        row(0, logits[0]),
        ImageInvalid("empty", "nothing"),
        row(10, logits[1]),
        ValueError("odd"),
    ]
    sent = Computed(outcomes, [0.1, 0.2, 0.3, 0.4], 0.5, 0.6, is_typical=False)
    got = wire.read_result(content(wire.result_frame(sent)), 3)
    assert (got.decode_s, got.compute_s, got.seconds, got.is_typical) == (
        (0.1, 0.2, 0.3, 0.4),
        0.5,
        0.6,
        False,
    )
    first, empty, last, odd = got.outcomes
    for outcome, expected in ((first, outcomes[0]), (last, outcomes[2])):
        assert isinstance(outcome, np.ndarray)
        np.testing.assert_array_equal(outcome, expected)
    assert isinstance(empty, ImageInvalid)
    assert empty.reason == "empty"
    assert isinstance(odd, ComputeFailed)
