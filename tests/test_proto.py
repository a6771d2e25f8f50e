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


def test_every_call_of_the_contract_is_documented() -> None:
    text = (ROOT / "proto/fovea/v1/classify.proto").read_text()
    for name in ("Classify", "ClassifyBatch", "ClassifyStream", "GetModel"):
        before = text.split(f"  rpc {name}(")[0].rstrip().splitlines()[-1]
        assert before.strip().startswith("//"), f"rpc {name} has no comment"
