"""Index, load and unload, with whole servers."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from fovea.model.versions import publish
from fovea.oip import open_inference_pb2 as pb
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from tests import tiny
from tests.rpc import call_of
from tests.server import spoiled
from tests.server.oip_calls import PATIENCE_S, of_images
from tests.servers import ServerProcess, running_server

Inference = GRPCInferenceServiceStub


@contextmanager
def serving(tmp_path: Path, *flags: str) -> Iterator[tuple[Inference, ServerProcess]]:
    """A server that looks for versions only when it is asked to."""
    tiny.publish_bundle(tmp_path / "models" / "tiny", tmp_path / "staged-1")
    flags = ("--watch-interval-s", "0", "--threads", "1", *flags)
    with (
        running_server(tmp_path / "models" / "tiny", *flags) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        yield Inference(channel), server


def load(inference: Inference, name: str = "tiny", **fields: str) -> None:
    request = pb.RepositoryModelLoadRequest(model_name=name, **fields)  # type: ignore[arg-type]
    inference.RepositoryModelLoad(request, timeout=PATIENCE_S)


def index(inference: Inference, *, ready: bool = False) -> list[tuple[str, str, str, str]]:
    request = pb.RepositoryIndexRequest(ready=ready)
    models = inference.RepositoryIndex(request, timeout=PATIENCE_S).models
    return [(entry.name, entry.version, entry.state, entry.reason) for entry in models]


def failure(call: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    failed = call_of(call)
    return failed.code(), str(failed.details())


def test_a_version_serves_when_its_load_returns(tmp_path: Path) -> None:
    with serving(tmp_path) as (inference, _):
        for version, name in (("2", "tiny"), ("3", "tiny_onnx")):
            tiny.publish_bundle(tmp_path / "models" / "tiny", tmp_path / f"staged-{version}", gain=5)
            load(inference, name)
            assert inference.ModelInfer(of_images(), timeout=PATIENCE_S).model_version == version
            assert index(inference) == [("tiny", version, "READY", ""), ("tiny_onnx", version, "READY", "")]
        load(inference)  # there is nothing newer


def test_a_bad_version_is_refused_with_its_reason_which_the_index_tells_too(tmp_path: Path) -> None:
    with serving(tmp_path) as (inference, server):
        staged = tiny.stage_bundle(tmp_path / "staged-2", gain=5)
        publish(spoiled.corrupt_the_model(staged), str(tmp_path / "models" / "tiny"))
        with pytest.raises(grpc.RpcError) as raised:
            load(inference)
        code, said = failure(raised.value)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert said.startswith("version 2 is refused: ")
        reason = said.removeprefix("version 2 is refused: ")
        assert reason.startswith("model.onnx: onnxruntime cannot load it: ")
        assert str(tmp_path) not in reason  # where versions lie is for the log alone
        assert str(tmp_path) in server.wait_for("version is refused")["reason"]
        assert index(inference) == [
            ("tiny", "1", "READY", ""),
            ("tiny", "2", "UNAVAILABLE", reason),
            ("tiny_onnx", "1", "READY", ""),
            ("tiny_onnx", "2", "UNAVAILABLE", reason),
        ]
        assert [entry[1] for entry in index(inference, ready=True)] == ["1", "1"]


def test_a_server_that_drains_is_not_ready_and_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-delay-s", "5") as (inference, server):
        server.send(signal.SIGTERM)
        server.wait_for("draining")
        assert inference.ServerLive(pb.ServerLiveRequest(), timeout=PATIENCE_S).live
        assert not inference.ServerReady(pb.ServerReadyRequest(), timeout=PATIENCE_S).ready
        assert not inference.ModelReady(pb.ModelReadyRequest(name="tiny"), timeout=PATIENCE_S).ready
        assert index(inference, ready=True) == []
        assert index(inference)[0] == ("tiny", "1", "UNAVAILABLE", "the model is not ready")
        assert inference.ModelInfer(of_images(), timeout=PATIENCE_S).outputs


def test_unloading_is_refused(inference: Inference) -> None:
    request = pb.RepositoryModelUnloadRequest(model_name="tiny")
    with pytest.raises(grpc.RpcError) as raised:
        inference.RepositoryModelUnload(request, timeout=PATIENCE_S)
    code, said = failure(raised.value)
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert said.startswith("models are not unloaded by call: the server serves the newest version")


def test_another_model_is_not_found(inference: Inference) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        load(inference, "resnet")
    assert failure(raised.value) == (
        grpc.StatusCode.NOT_FOUND,
        "there is no model 'resnet'; there are 'tiny' and 'tiny_onnx'",
    )


def test_another_repository_is_refused(inference: Inference) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        load(inference, repository_name="others")
    assert failure(raised.value)[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_a_model_is_not_loaded_with_another_configuration(inference: Inference) -> None:
    request = pb.RepositoryModelLoadRequest(model_name="tiny")
    request.parameters["config"].string_param = "{}"
    with pytest.raises(grpc.RpcError) as raised:
        inference.RepositoryModelLoad(request, timeout=PATIENCE_S)
    assert failure(raised.value)[0] is grpc.StatusCode.UNIMPLEMENTED
