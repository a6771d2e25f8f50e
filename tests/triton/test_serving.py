"""What `python -m server.triton` lays out, on the real tritonserver: batching, new versions, refusals."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient import grpc as oip
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from benchmarks.triton_server import TritonServer, running_triton
from fovea.model.bundle import ModelBundle
from fovea.model.task import selected
from tests.triton import project
from tests.triton.calls import classes, image_input, infer, picture, refusal


@pytest.fixture(scope="module")
def triton(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with running_triton(tiny_models, tmp_path_factory.mktemp("triton")) as running:
        yield running


@pytest.fixture(scope="module")
def client(triton: TritonServer) -> Iterator[oip.InferenceServerClient]:
    with oip.InferenceServerClient(triton.target) as connected:
        yield connected


def config_of(triton: TritonServer, name: str) -> Any:
    """config.pbtxt, read as Triton reads it; an unknown or misspelt field is an error."""
    text = (triton.repository / name / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_both_configurations_are_what_triton_reads(tiny_models: Path, tmp_path: Path) -> None:
    triton = TritonServer(tiny_models, tmp_path)
    triton.lay_out("--with-onnx", "--provider", "cuda", "--instances", "2", "--max-queue-delay-ms", "2")
    encoded, plain = config_of(triton, "tiny"), config_of(triton, "tiny_onnx")
    assert (encoded.backend, plain.backend) == ("python", "onnxruntime")
    for config in (encoded, plain):
        assert list(config.version_policy.specific.versions) == [1]
        assert config.max_batch_size == 64
        assert (config.instance_group[0].count, list(config.instance_group[0].gpus)) == (2, [0])
        assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
        assert config.dynamic_batching.max_queue_delay_microseconds == 2000
        assert config.dynamic_batching.default_queue_policy.max_queue_size == 256
        assert {output.label_filename for output in config.output} <= {"1/labels.txt", ""}
    assert list(plain.input[0].dims) == list(plain.model_warmup[0].inputs["pixels"].dims) == [16, 16, 3]


def test_triton_takes_the_configuration_as_it_is_written(
    triton: TritonServer, client: oip.InferenceServerClient
) -> None:
    loaded, written = client.get_model_config("tiny").config, config_of(triton, "tiny")
    assert loaded.parameters == written.parameters
    assert loaded.dynamic_batching.default_queue_policy == written.dynamic_batching.default_queue_policy
    assert [output.label_filename for output in loaded.output] == [o.label_filename for o in written.output]


def test_multi_label_model_selects_what_its_bundle_does(tmp_path: Path) -> None:
    """Each number of labels is among its golden images'."""
    models = tmp_path / "models" / "tiny"
    project.publish_tiny(models, tmp_path / "staging", multi=True)
    bundle = ModelBundle.open(models / "1")
    golden, thresholds = bundle.golden(), bundle.contract.thresholds
    assert thresholds is not None
    expected = selected(golden.probabilities, thresholds)
    with running_triton(models, tmp_path) as triton, oip.InferenceServerClient(triton.target) as client:
        answer = infer(client, "tiny", golden.files)
        outputs = {
            each.name: (each.datatype, [*each.shape]) for each in client.get_model_metadata("tiny").outputs
        }
    assert {*expected.sum(axis=1).tolist()} == {0, 1, 2, 3}
    assert answer.as_numpy("selected").tolist() == expected.tolist()
    np.testing.assert_allclose(answer.as_numpy("probabilities"), golden.probabilities, rtol=0, atol=1e-6)
    assert outputs["selected"] == ("BOOL", [-1, 3])
    assert "distance" not in outputs


def batches(client: oip.InferenceServerClient) -> Counter[int]:
    """How many batches of each size were computed."""
    (model,) = client.get_inference_statistics("tiny").model_stats
    return Counter({batch.batch_size: batch.compute_infer.count for batch in model.batch_stats})


def test_requests_are_batched_while_the_model_is_busy(client: oip.InferenceServerClient) -> None:
    before = batches(client)
    with ThreadPoolExecutor(16) as callers:
        list(callers.map(lambda number: infer(client, "tiny", [picture(number)]), range(160)))
    sizes = batches(client) - before
    assert max(sizes) > 1
    assert sum(size * count for size, count in sizes.items()) == 160


def test_bad_image_leaves_the_rest_of_its_batch_alone(client: oip.InferenceServerClient) -> None:
    def call(number: int) -> str:
        try:
            infer(client, "tiny", [b"no image" if number % 4 == 3 else picture(number)])
        except InferenceServerException as error:
            return str(error.status())
        return "answered"

    before = batches(client)
    with ThreadPoolExecutor(16) as callers:
        outcomes = Counter(callers.map(call, range(80)))
    assert outcomes == {"answered": 60, "StatusCode.INVALID_ARGUMENT": 20}
    assert max(batches(client) - before) > 1


def test_callers_that_go_away_leave_the_others_alone(client: oip.InferenceServerClient) -> None:
    calls = [
        client.async_infer("tiny", image_input([picture(number)] * 16), lambda result, error: None)
        for number in range(40)
    ]
    for call in calls[::2]:
        call.cancel()
    assert infer(client, "tiny", [picture(0)]).as_numpy("label").tolist() == [[b"red"]]


def test_queue_is_bounded(tiny_models: Path, tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    done = threading.Semaphore(0)

    def note(result: Any, error: Any) -> None:
        outcomes[error.message() if error else "answered"] += 1
        done.release()

    with (
        running_triton(tiny_models, tmp_path, "--queue-capacity", "2", "--max-batch-size", "1") as triton,
        oip.InferenceServerClient(triton.target) as client,
    ):
        for number in range(100):
            client.async_infer("tiny", image_input([picture(number)]), note)
        for _ in range(100):
            assert done.acquire(timeout=30)
    assert sum(outcomes.values()) == 100
    assert outcomes["answered"] > 0
    assert any("maximum queue size" in message for message in outcomes)


def test_limits_of_an_image_are_those_that_were_laid_out(tiny_models: Path, tmp_path: Path) -> None:
    flags = ("--max-image-pixels", "400")
    with (
        running_triton(tiny_models, tmp_path, *flags) as triton,
        oip.InferenceServerClient(triton.target) as client,
    ):
        status, message = refusal(infer, client, "tiny", [picture(1)])
    assert status == "INVALID_ARGUMENT"
    assert "the image has 21 x 24 pixels, more than 400" in message


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder of the test's own, with version 1."""
    project.publish_tiny(tmp_path / "models" / "tiny", tmp_path / "first")
    return tmp_path / "models" / "tiny"


def test_version_that_is_published_is_taken_up_and_no_call_fails(models: Path, tmp_path: Path) -> None:
    stop, second, outcomes = threading.Event(), threading.Event(), Counter[str]()
    with (
        running_triton(models, tmp_path / "triton", follows=True) as triton,
        oip.InferenceServerClient(triton.target) as client,
    ):

        def call_on() -> None:
            while not stop.is_set():
                try:
                    version = infer(client, "tiny", [picture(0)]).get_response().model_version
                except InferenceServerException as error:
                    version = str(error)
                outcomes[version] += 1
                if version == "2":
                    second.set()

        caller = threading.Thread(target=call_on, daemon=True)
        caller.start()
        before = infer(client, "tiny", [picture(0)]).as_numpy("probabilities")
        project.publish_tiny(models, tmp_path / "second", gain=3.0, labels="rot,grün,blau")
        triton.lay_out()
        assert second.wait(60)
        stop.set()
        caller.join(30)
        after = infer(client, "tiny", [picture(0)])
        best = infer(client, "tiny", [picture(0)], outputs=classes("logits", 1)).as_numpy("logits")
    assert set(outcomes) == {"1", "2"}
    assert after.get_response().model_version == "2"
    assert abs(after.as_numpy("probabilities") - before).max() > 0.01
    assert best[0, 0].decode().endswith(":0:rot")


def test_version_with_wrong_golden_answers_is_not_ready_and_the_log_says_why(
    tiny_models: Path, tmp_path: Path
) -> None:
    triton = TritonServer(tiny_models, tmp_path)
    triton.lay_out()
    project.change_golden_answers(triton.repository / "tiny" / "1")
    with triton.running(), oip.InferenceServerClient(triton.target) as client:
        triton.wait_for("Started GRPCInferenceService")
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready("tiny")
        (listed,) = client.get_model_repository_index().models
        assert listed.state == "UNAVAILABLE"
        assert "golden check failed: probabilities are off by" in listed.reason
    assert any("golden check failed" in line for line in triton.log)
