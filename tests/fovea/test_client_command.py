"""`python -m fovea.client`, with no server or one that does as it is told."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fovea.client_options import load
from tests.stub_classifier import HELD, stub_server

ROOT = Path(__file__).parents[2]


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fovea.client", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(*arguments: str) -> tuple[int, str]:
    """The exit code and the one line on stderr."""
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    ended = subprocess.run(
        [sys.executable, "-m", "fovea.client", "cat.jpg", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = ended.stderr.splitlines()
    return ended.returncode, line


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("--top-k", "5000000000"), "less than or equal to 4294967295"),
        (("--model-version", str(2**63)), "less than or equal to 9223372036854775807"),
        (("--timeout-s", "1e30"), "less than or equal to 86400"),
        (("--target", ""), "HOST:PORT"),
        (("--target", "http://localhost:8001"), "HOST:PORT"),
        (("--target", "localhost"), "HOST:PORT"),
        (("--target", "localhost:"), "a number from 1 to 65535"),
        (("--target", "localhost:abc"), "a number from 1 to 65535"),
        (("--target", "localhost:0"), "a number from 1 to 65535"),
        (("--target", "localhost:99999"), "a number from 1 to 65535"),
        (("--target", "localhost:8001/path"), "a number from 1 to 65535"),
        (("--target", "[::1]:99999"), "a number from 1 to 65535"),
        (("--target", "dns:///localhost:99999"), "a number from 1 to 65535"),
        (("--target", "dns://10.0.0.53/localhost:99999"), "a number from 1 to 65535"),
    ],
)
def test_a_value_that_cannot_be_sent_is_refused(wrong: tuple[str, str], says: str) -> None:
    code, line = refusal(*wrong)
    assert code == 2
    assert line.startswith(f"error: {wrong[0]} (or FOVEA_CLIENT_")
    assert says in line


@pytest.mark.parametrize(
    "target",
    [
        "localhost:8001",
        "10.0.0.7:65535",
        "[::1]:8001",
        "dns:///fovea:8001",
        "dns:fovea:8001",
        "dns:///fovea",
        "dns://10.0.0.53/fovea",
        "dns://10.0.0.53:5353/fovea:8001",
        "ipv4:10.0.0.7:8001,10.0.0.8:8001",
        "unix:/run/fovea.sock",
        "unix:fovea:blue.sock",
    ],
)
def test_an_address_that_grpc_understands_is_taken(target: str) -> None:
    assert load(["--target", target]).target == target


def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    code, line = refusal("--target", "127.0.0.1:1", "--timeout-s", "5")
    assert code == 69
    assert line.startswith("error: no server answers at 127.0.0.1:1: ")
    assert line.endswith("; is it started, are --target and --tls right?")


def test_a_server_that_is_not_ready_is_said_to_be_so() -> None:
    with stub_server(serving=False) as stub:
        code, line = refusal("--target", stub.address)
    assert code == 69
    assert f"{stub.address}: not ready to serve; " in line


def test_files_may_have_any_names(tmp_path: Path) -> None:
    names = ["a,b.png", "[red] {b}.png", '"q".png', "null", " spaced.png", "写真", "bad\udcff"]
    for name in names:
        (tmp_path / name).write_bytes(b"image")
    with stub_server() as stub:
        out, err = started(*(tmp_path / name for name in names), "--target", stub.address).communicate()
    assert err == ""
    printed = [row.removeprefix(f"{tmp_path}/").rsplit("stub")[0].rstrip() for row in out.splitlines()[1:]]
    assert printed == [*names[:-1], "bad\\udcff"]


def test_a_row_is_printed_as_soon_as_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "quick").write_bytes(b"image")
    (tmp_path / "held").write_bytes(HELD)
    with stub_server() as stub:
        process = started(*[tmp_path / "quick"] * 16, tmp_path / "held", "--target", stub.address)
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["image", "label", "probability", "others"]
        assert process.stdout.readline().split() == [str(tmp_path / "quick"), "stub", "1.000"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (130, "interrupted\n")
