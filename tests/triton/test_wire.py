"""Our contract of the protocol is tritonclient's: what has a name in both has the same number and type."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.builds import ROOT
from benchmarks.triton_server import PROJECT_PYTHON
from tests.triton.descriptors import Fields

KSERVES_OWN = {("inference.ModelMetadataResponse", "properties")}
"""Fields that tritonclient does not know; and the entries of such a map are a message too."""


def described(python: Path | str, *modules: str) -> dict[str, Fields]:
    command = [str(python), "-m", "tests.triton.descriptors", *modules]
    fields: dict[str, Fields] = json.loads(
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    )
    return fields


@pytest.fixture(scope="module")
def ours() -> dict[str, Fields]:
    return described(PROJECT_PYTHON, "fovea.oip.open_inference_pb2")


@pytest.fixture(scope="module")
def theirs() -> dict[str, Fields]:
    return described(sys.executable, "tritonclient.grpc.service_pb2", "tritonclient.grpc.model_config_pb2")


def test_every_message_call_and_value_is_tritonclients(
    ours: dict[str, Fields], theirs: dict[str, Fields]
) -> None:
    assert len(ours) > 30
    for name, fields in ours.items():
        if name == "inference.ModelMetadataResponse.PropertiesEntry":
            continue
        for field, facts in fields.items():
            if (name, field) not in KSERVES_OWN:
                assert theirs[name].get(field) == facts, f"{name}.{field}"


def test_messages_that_carry_inference_are_whole(ours: dict[str, Fields], theirs: dict[str, Fields]) -> None:
    parts = ("InferParameter", "InferTensorContents", "ModelInferRequest", "ModelInferResponse")
    carried = [name for name in theirs if name.split(".")[1] in parts]
    assert len(carried) >= 8
    for name in carried:
        assert ours[name] == theirs[name]
