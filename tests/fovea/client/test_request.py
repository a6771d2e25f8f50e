"""What the client writes without protobuf is what protobuf would write, and reads as such."""

import pytest

from fovea.client.request import classify_request
from fovea.v1 import classify_pb2 as pb


def test_request_is_what_protobuf_writes() -> None:
    for size in (1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152):
        for number, request_id in ((0, ""), (3, "a/1"), (2**31, "é" * 60)):
            sent = classify_request(
                b"\xff" * size,
                top_k=number,
                min_probability=number / 2**32,
                model_version=number << 32,
                priority="bulk",
                want=("embedding", "label_set") if number else (),
                request_id=request_id,
            )
            assert sent == pb.ClassifyRequest(
                image=b"\xff" * size,
                top_k=number,
                min_probability=number / 2**32,
                model_version=number << 32,
                priority=pb.PRIORITY_BULK,
                want_label_set=bool(number),
                want_embedding=bool(number),
                request_id=request_id,
            ).SerializeToString(deterministic=True)


def test_empty_image_is_a_request_without_one() -> None:
    sent = classify_request(b"", top_k=1, min_probability=0.5, model_version=0, priority="interactive")
    expected = pb.ClassifyRequest(top_k=1, min_probability=0.5, priority=pb.PRIORITY_INTERACTIVE)
    assert pb.ClassifyRequest.FromString(sent) == expected


def test_what_cannot_travel_is_refused() -> None:
    plain = {"top_k": 1, "min_probability": 0.0, "model_version": 0, "priority": "bulk"}
    for wrong in ({"top_k": -1}, {"model_version": 2**64}, {"priority": "urgent"}, {"want": ["logits"]}):
        with pytest.raises(ValueError, match=r".+"):
            classify_request(b"x", **(plain | wrong))  # type: ignore[arg-type]
