"""The committed generated code is what proto/ says."""

import subprocess
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.rpc import status_pb2

from tests.environments import environment

ROOT = Path(__file__).parents[1]
INCLUDED = [f"-I{ROOT / 'proto'}", f"-I{Path(status_pb2.__file__).parents[2]}"]
CONTRACTS = sorted(path.relative_to(ROOT / "proto") for path in ROOT.glob("proto/**/*.proto"))


def protoc(python: Path | str, *arguments: str) -> None:
    subprocess.run([python, "-m", "grpc_tools.protoc", *INCLUDED, *arguments], check=True, cwd=ROOT)


@pytest.mark.parametrize("contract", CONTRACTS, ids=str)
def test_generated_code_is_of_this_contract(contract: Path, tmp_path: Path) -> None:
    protoc(sys.executable, f"--descriptor_set_out={tmp_path / 'set'}", str(contract))
    (stated,) = FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    generated = import_module(".".join(contract.with_suffix("").parts) + "_pb2")
    committed = FileDescriptorProto.FromString(generated.DESCRIPTOR.serialized_pb)
    without_json_names(stated.message_type)  # which one of the two writes down
    assert stated == committed, "run `make proto`"


def without_json_names(messages: Iterable[DescriptorProto]) -> None:
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        without_json_names(message.nested_type)


@pytest.mark.slow
def test_generated_code_is_what_the_pinned_generator_writes(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", "--no-deps", "-r", str(ROOT / "proto" / "requirements.txt"))
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "grpc_python")]
    protoc(python, *outputs, *map(str, CONTRACTS))
    names = [
        str(contract.with_suffix("")) + end for contract in CONTRACTS for end in ("_pb2.py", "_pb2_grpc.py")
    ]
    for name in names:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name}: run `make proto`"


@pytest.mark.parametrize("contract", CONTRACTS, ids=str)
def test_every_call_of_the_contract_is_documented(contract: Path) -> None:
    lines = (ROOT / "proto" / contract).read_text().splitlines()
    calls = [number for number, line in enumerate(lines) if line.startswith("  rpc ")]
    assert calls
    for number in calls:
        assert lines[number - 1].strip().startswith("//"), f"{lines[number].strip()} has no comment"
