"""`python -m fovea.client`, with no server or one that does as it is told."""

import dataclasses
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from fovea.client.options import PROGRAM, ClientOptions, load
from fovea.command_line import flag
from fovea.errors import SettingsInvalid
from tests.fovea.client import quick_retries
from tests.stub_classifier import HELD, stub_server

ROOT = Path(__file__).parents[3]


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fovea.client", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(*arguments: str, module: str = "fovea.client") -> tuple[int, str]:
    """The exit code and the one line on stderr."""
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    ended = subprocess.run(
        [sys.executable, "-m", module, "cat.jpg", *arguments],
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


def test_the_command_line_comes_before_the_environment_before_the_defaults() -> None:
    environment = {
        "FOVEA_CLIENT_TOP_K": "5",
        "fovea_client_timeout_s": "2.5",
        "FOVEA_CLIENT_TLS": "Yes",
        "FOVEA_CLIENT_JSON_LINES": "on",
        "FOVEA_CLIENT_IMAGES": '["a,b.jpg"]',
        "FOVEA_SERVE_PORT": "8001",
        "HOME": "/",
    }
    options = load(["--top-k", "7", "--no-json", "--tls-ca", "ca.pem"], environment)
    assert options == ClientOptions(
        images=("a,b.jpg",), top_k=7, timeout_s=2.5, tls=True, tls_ca=Path("ca.pem"), json_lines=False
    )
    assert load(["b.jpg", "--top-k=9"], environment).images == ("b.jpg",)
    assert load([], {}) == ClientOptions()


@pytest.mark.parametrize(
    ("arguments", "variables", "complaint"),
    [
        (["--top-k", "x"], {}, "--top-k (or FOVEA_CLIENT_TOP_K): should be a whole number, not 'x'"),
        (["--timeout-s", "nan"], {}, "--timeout-s (or FOVEA_CLIENT_TIMEOUT_S): should be a finite number"),
        (["--timeout-s", "0"], {}, "input should be greater than 0, not '0'"),
        (["--want", "logits"], {}, "should be of distance, label_set, embedding, by commas, not 'logits'"),
        ([], {"TLS": "maybe"}, "--tls (or FOVEA_CLIENT_TLS): should be true or false, not 'maybe'"),
        ([], {"IMAGES": "a.jpg"}, "IMAGES (or FOVEA_CLIENT_IMAGES): should be a JSON list of names"),
        ([], {"TARGT": "a"}, "FOVEA_CLIENT_TARGT is not a setting; did you mean FOVEA_CLIENT_TARGET?"),
        (["--targ", "a:1"], {}, f"{PROGRAM} has no option --targ; did you mean --target?"),
        (["--target"], {}, f"argument --target: expected one argument (see {PROGRAM} --help)"),
        (["a.jpg", "--tls", "b.jpg"], {}, f"{PROGRAM}: there is an argument too many: 'b.jpg'"),
    ],
)
def test_what_is_no_option_or_no_value_is_one_line(
    arguments: list[str], variables: dict[str, str], complaint: str
) -> None:
    with pytest.raises(SettingsInvalid) as raised:
        load(arguments, {f"FOVEA_CLIENT_{name}": value for name, value in variables.items()})
    assert complaint in str(raised.value)


def test_help_tells_every_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(["--help"], {})
    assert ended.value.code == 0
    output = capsys.readouterr().out
    assert output.startswith(f"usage: {PROGRAM} [OPTIONS] [IMAGES]\n")
    for field in dataclasses.fields(ClientOptions)[1:]:
        assert flag(field.name) in output
    assert "(default: localhost:8001)" in output
    assert "None" not in output


def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    code, line = refusal("--target", "127.0.0.1:1", "--timeout-s", "5", module=quick_retries.MODULE)
    assert code == 69
    assert line.startswith("error: no server answers at 127.0.0.1:1: ")
    assert line.endswith("; is it started, are --target and --tls right?")


def test_a_server_that_is_not_ready_is_said_to_be_so() -> None:
    with stub_server(serving=False) as stub:
        code, line = refusal("--target", stub.address, module=quick_retries.MODULE)
    assert code == 69
    assert f"{stub.address}: not ready to serve; " in line


def test_another_kind_of_server_is_said_to_be_one() -> None:
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        code, line = refusal("--target", target)
        server.stop(grace=None).wait()
    assert code == 69
    assert line == f"error: what answers at {target} is no Fovea server: Method not found!"


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
