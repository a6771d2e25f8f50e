"""The committed generated code is what proto/ says."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.rpc import status_pb2

ROOT = Path(__file__).parents[1]


CONTRACTS = sorted(path.relative_to(ROOT / "proto") for path in ROOT.glob("proto/**/*.proto"))


@pytest.mark.parametrize("contract", CONTRACTS, ids=str)
def test_generated_code_is_up_to_date(contract: Path, tmp_path: Path) -> None:
    common_protos = Path(status_pb2.__file__).parents[2]
    arguments = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", f"-I{common_protos}"]
    outputs = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    subprocess.run([*arguments, *outputs, str(contract)], check=True, cwd=ROOT)
    for suffix in ("_pb2.py", "_pb2_grpc.py"):
        name = str(contract.with_suffix("")) + suffix
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name}: run `make proto`"


@pytest.mark.parametrize("contract", CONTRACTS, ids=str)
def test_every_call_of_the_contract_is_documented(contract: Path) -> None:
    lines = (ROOT / "proto" / contract).read_text().splitlines()
    calls = [number for number, line in enumerate(lines) if line.startswith("  rpc ")]
    assert calls
    for number in calls:
        assert lines[number - 1].strip().startswith("//"), f"{lines[number].strip()} has no comment"
