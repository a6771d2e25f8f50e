"""Batches with tasks among the images, and results with logits among the rows, as they cross to a process."""

import numpy as np
import pytest

from fovea.errors import ImageInvalid
from fovea.model.io_binding import Probabilities
from server.compute import wire
from server.compute.work_item import Task
from server.errors import ComputeFailed
from server.queue.worker import Computed

PLAIN: list[bytes | Task] = [b"one", b"", b"three"]
MIXED: list[bytes | Task] = [
    b"encoded",
    Task(b"crop", is_crop=True),
    Task(b"with logits", wants_logits=True),
    Task(b"both", is_crop=True, wants_logits=True),
]


def content(frame: bytes) -> bytes:
    return frame[wire.HEADER.size :]


@pytest.mark.parametrize("images", [PLAIN, MIXED, MIXED[1:2], [b"lone"]])
@pytest.mark.parametrize("is_alone", [True, False])
def test_a_batch_crosses_as_it_was(images: list[bytes | Task], is_alone: bool) -> None:
    frame = b"".join(wire.batch_frame(images, is_alone))
    assert wire.HEADER.unpack_from(frame)[1] == len(content(frame))
    assert wire.read_batch(memoryview(content(frame))) == (images, is_alone)


def test_the_bytes_of_a_crop_are_not_copied() -> None:
    pixels = memoryview(b"many crops")[5:]
    assert wire.batch_frame([Task(pixels, is_crop=True)], False)[1] is pixels


def test_encoded_images_alone_cross_without_a_word_about_their_kind() -> None:
    (head, *_) = wire.batch_frame(PLAIN, False)
    assert len(head) == wire.HEADER.size + 5 + 8 * len(PLAIN)


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
    for found, expected in ((first, outcomes[0]), (last, outcomes[2])):
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, expected)
    assert isinstance(empty, ImageInvalid)
    assert empty.reason == "empty"
    assert isinstance(odd, ComputeFailed)
