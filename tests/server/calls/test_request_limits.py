"""ClassifyBatch requests with more images than may be, refused before they are parsed."""

import grpc
import pytest
from google.protobuf.message import DecodeError

from fovea.v1 import classify_pb2 as pb
from server.calls.request_limits import classifier_limits
from server.errors import FieldInvalid
from tests.server.oip.test_request_limits import end_of

LIMITS = classifier_limits(max_images=64)
check = LIMITS["ClassifyBatch"]


def test_what_a_call_may_have_passes() -> None:
    request = pb.ClassifyBatchRequest(
        images=[b"x" * 1_000_000] * 64,
        top_k=3,
        min_probability=0.5,
        model_version=1,
        priority=pb.PRIORITY_BULK,
        request_id="x",
    )
    check(request.SerializeToString())
    check(b"\x0a\x00" + b"\x10\x00" * 100)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "a call carries from 1 to 64 images; this one has none"),
        (b"\x0a\x00" * 65, "a call carries from 1 to 64 images; this one has more"),
        (b"\x10\x00" * 101, "a request may have 100 fields beside its images"),
    ],
    ids=["none", "one too many", "too many of another field"],
)
def test_other_numbers_of_images_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FieldInvalid, match=reason):
        check(data)


def test_what_is_not_protobuf_is_not_parsed() -> None:
    with pytest.raises(DecodeError):
        check(b"\x0a\x05abc")


def test_a_lone_image_is_not_looked_at() -> None:
    assert "Classify" not in LIMITS


def test_images_are_counted_before_the_request_is_parsed(channel: grpc.Channel) -> None:
    """What comes after one too many is not looked at, so it may be no protobuf."""
    method, images = "/fovea.v1.Classifier/ClassifyBatch", b"\x0a\x00" * 64
    assert end_of(channel, method, images) == (grpc.StatusCode.OK, "")
    code, details = end_of(channel, method, images + b"\x0a\x00cut off")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "a call carries from 1 to 64 images; this one has more"
