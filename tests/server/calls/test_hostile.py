"""The server under thousands of hostile files: each is answered, and nothing is left behind."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import hostile, tiny
from tests.hostile import Case
from tests.server.oip_calls import of_images
from tests.servers import ServerProcess, running_server

PATIENCE_S = 60
CALLERS = 6
IMAGES_PER_BATCH = 16
LEFT_BEHIND_BYTES = 64 * 1024 * 1024
"""One image of the corpus may have three times as many."""


@pytest.fixture(scope="module")
def attacked(tiny_models: Path) -> Iterator[ServerProcess]:
    """With an allocator that gives back what is freed: by itself, glibc keeps up to hundreds of megabytes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
            patch.setenv(name, str(1024 * 1024))
        with running_server(tiny_models) as server:
            yield server


def test_hostile_images_are_answered_or_refused_by_field(attacked: ServerProcess) -> None:
    assert wrong_answers(attacked, hostile.sample(hostile.corpus(), 400)) == []
    assert_unharmed(attacked)


def test_hostile_images_by_the_open_inference_protocol_are_answered_or_refused(
    attacked: ServerProcess,
) -> None:
    cases = hostile.sample(hostile.corpus(), 200)
    with grpc.insecure_channel(attacked.target) as channel, ThreadPoolExecutor(CALLERS) as callers:
        inference = GRPCInferenceServiceStub(channel)
        assert [*filter(None, callers.map(lambda case: fault_of_inference(inference, case), cases))] == []
    assert_unharmed(attacked)


def test_large_calls_that_are_refused_leave_nothing_behind(attacked: ServerProcess) -> None:
    no_image = b"no image" + bytes(16_000_000)
    with grpc.insecure_channel(attacked.target) as channel:
        classify = ClassifierStub(channel).Classify.future
        infer = GRPCInferenceServiceStub(channel).ModelInfer.future
        image, images = pb.ClassifyRequest(image=no_image), of_images([no_image])
        before = anonymous_bytes(attacked)
        for _ in range(10):
            for call in (classify(image), infer(images)):
                assert isinstance(call.exception(PATIENCE_S), grpc.RpcError)
        assert anonymous_bytes(attacked) - before < 2 * LEFT_BEHIND_BYTES


@pytest.mark.slow
def test_thousands_of_hostile_images_leave_nothing_behind(attacked: ServerProcess) -> None:
    corpus = hostile.corpus()
    assert len(corpus) >= 5_000
    assert wrong_answers(attacked, hostile.sample(corpus, 1_000)) == []
    before = anonymous_bytes(attacked)
    assert wrong_answers(attacked, corpus) == []
    assert anonymous_bytes(attacked) - before < LEFT_BEHIND_BYTES
    assert_unharmed(attacked)


def wrong_answers(server: ServerProcess, cases: list[Case]) -> list[str]:
    """Those that are neither a classification nor INVALID_ARGUMENT for the field `image`."""
    with grpc.insecure_channel(server.target) as channel, ThreadPoolExecutor(CALLERS) as callers:
        stub = ClassifierStub(channel)
        alone = callers.map(lambda case: fault_alone(stub, case), cases[::4])
        batches = [cases[at : at + IMAGES_PER_BATCH] for at in range(0, len(cases), IMAGES_PER_BATCH)]
        together = callers.map(lambda batch: faults_together(stub, batch), batches)
        return [*filter(None, alone), *(fault for faults in together for fault in faults)]


def fault_alone(stub: ClassifierStub, case: Case) -> str | None:
    call = stub.Classify.future(pb.ClassifyRequest(image=case.data), timeout=PATIENCE_S)
    return fault(case, rpc_status.from_call(call)) if call.exception() else None


def fault_of_inference(inference: GRPCInferenceServiceStub, case: Case) -> str | None:
    call = inference.ModelInfer.future(of_images([case.data]), timeout=PATIENCE_S)
    if not call.exception():
        return None
    wrong = fault(case, rpc_status.from_call(call))
    return wrong or (None if call.details().startswith("image 0: ") else f"{case.name}: {call.details()}")


def faults_together(stub: ClassifierStub, cases: list[Case]) -> list[str]:
    request = pb.ClassifyBatchRequest(images=[case.data for case in cases])
    results = stub.ClassifyBatch(request, timeout=PATIENCE_S).results
    faults = (
        fault(case, result.error)
        for case, result in zip(cases, results, strict=True)
        if result.HasField("error")
    )
    return [*filter(None, faults)]


def fault(case: Case, status: Status | None) -> str | None:
    detail = BadRequest()
    if (
        status
        and status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        and status.details[0].Unpack(detail)
    ):
        fields = [violation.field for violation in detail.field_violations]
        return None if fields == ["image"] else f"{case.kind}, {case.name}: {fields}"
    return f"{case.kind}, {case.name}: {status}"


def assert_unharmed(server: ServerProcess) -> None:
    """It lives, answers, and its log has nothing but its own entries, none of them an error."""
    with grpc.insecure_channel(server.target) as channel:
        request = pb.ClassifyRequest(image=tiny.picture("green"))
        answer = ClassifierStub(channel).Classify(request, timeout=PATIENCE_S)
    assert answer.predictions[0].label == "green"
    assert server.process.poll() is None
    levels = {json.loads(line)["level"] for line in list(server.stderr)}
    assert levels <= {"info"}


def anonymous_bytes(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    resident = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    assert resident
    return int(resident[1]) * 1024
