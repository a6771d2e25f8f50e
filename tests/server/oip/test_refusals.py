"""Requests that are not as they should be are refused, with a message that says what would be right."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from fovea.oip import open_inference_pb2 as pb
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from tests import tiny
from tests.rpc import call_of
from tests.server.oip_calls import (
    IMAGES,
    PATIENCE_S,
    bad_field,
    of_images,
    of_typed_images,
    refusal,
    with_parameter,
)
from tests.server.oip_refused import REFUSED
from tests.servers import started_server

Inference = GRPCInferenceServiceStub


@pytest.mark.parametrize("case", REFUSED)
def test_the_field_is_named_and_what_is_expected(inference: Inference, case: str) -> None:
    request, field, said = REFUSED[case]
    call = refusal(inference, request())
    assert call.details() == said
    assert bad_field(call) == field


def test_a_model_that_is_not_known_is_not_found_and_those_known_are_listed(inference: Inference) -> None:
    call = refusal(inference, of_images(model_name="resnet"))
    assert call.code() is grpc.StatusCode.NOT_FOUND
    assert call.details() == (
        "there is no model 'resnet'; there are 'tiny', which takes 'image' (BYTES [n,1], encoded images) and "
        "'tiny_onnx', which takes 'pixels' (UINT8 [n,16,16,3], crops that are ready)"
    )


def test_no_name_of_any_length_makes_an_error_that_cannot_be_sent(inference: Inference) -> None:
    call = refusal(inference, of_images(model_name="x" * 60_000))
    assert call.code() is grpc.StatusCode.NOT_FOUND
    assert call.details().startswith(f"there is no model '{'x' * 64}...'")


def test_a_version_that_is_not_loaded_is_not_found(inference: Inference) -> None:
    call = refusal(inference, of_images(model_version="9"))
    assert call.code() is grpc.StatusCode.NOT_FOUND
    assert call.details() == "version 9 is not loaded (loaded: 1)"


@pytest.mark.parametrize("make", [of_images, of_typed_images])
@pytest.mark.parametrize("position", [0, 3, 4])
def test_a_bad_image_among_good_ones_is_named(
    inference: Inference, make: Callable[[list[bytes]], pb.ModelInferRequest], position: int
) -> None:
    images = IMAGES[:2] * 2
    images.insert(position, b"not an image")
    call = refusal(inference, make(images))
    assert bad_field(call) == "image"
    assert str(call.details()).startswith(f"image {position}: the bytes are not an image in one of JPEG")


def test_a_lone_bad_image_is_named_too(inference: Inference) -> None:
    assert refusal(inference, of_images([b""])).details() == "image 0: the image is empty (0 bytes)"


def test_a_timeout_that_cannot_be_met_ends_the_call_at_once(inference: Inference) -> None:
    call = refusal(inference, with_parameter(of_images(), "timeout", int64_param=1))
    assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_calls_deadline_holds_under_a_longer_timeout(inference: Inference) -> None:
    request = with_parameter(of_images([tiny.large_picture()]), "timeout", int64_param=60_000_000)
    with pytest.raises(grpc.RpcError) as raised:
        inference.ModelInfer(request, timeout=0.005)
    assert call_of(raised.value).code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_calls_are_refused_while_no_model_is_ready(tmp_path: Path) -> None:
    with started_server(tmp_path / "models" / "tiny", "--wait-for-model") as server:
        port = server.wait_for("waiting for a version to be published")["port"]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            inference = Inference(channel)
            assert inference.ServerLive(pb.ServerLiveRequest(), timeout=PATIENCE_S).live
            assert not inference.ServerReady(pb.ServerReadyRequest(), timeout=PATIENCE_S).ready
            ready = pb.ModelReadyRequest(name="tiny")
            assert not inference.ModelReady(ready, timeout=PATIENCE_S).ready
            assert refusal(inference, of_images()).code() is grpc.StatusCode.UNAVAILABLE
