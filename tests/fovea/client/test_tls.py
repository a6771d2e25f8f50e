"""The clients over TLS, against a server with a certificate of a private authority."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from fovea.client import AsyncClient, CallFailed, Client
from fovea.errors import DataInvalid, FoveaError, SettingsInvalid, Unavailable
from tests.certificates import Authority, write
from tests.fovea.client import quick_retries
from tests.servers import run_server
from tests.stub_classifier import StubClassifier, stub_server

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="module")
def folder(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority, a caller's certificate and key, and what is neither."""
    folder = tmp_path_factory.mktemp("tls")
    write(folder, authority, authority.issue("a caller"))
    (folder / "other.key").write_bytes(authority.issue("another").key)
    (folder / "empty.pem").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[StubClassifier]:
    identity = authority.issue("a server")
    with stub_server(credentials=grpc.ssl_server_credentials([(identity.key, identity.certificate)])) as stub:
        yield stub


@pytest.fixture(scope="module")
def mutual(authority: Authority) -> Iterator[StubClassifier]:
    identity = authority.issue("a server")
    credentials = grpc.ssl_server_credentials(
        [(identity.key, identity.certificate)], authority.pem, require_client_auth=True
    )
    with stub_server(credentials=credentials) as stub:
        yield stub


def test_a_private_authority_is_enough_for_tls(server: StubClassifier, folder: Path) -> None:
    with Client(server.address, tls_ca=folder / "ca.pem") as client:
        assert client.classify(b"image").label == "stub"


def test_a_server_of_an_authority_that_is_not_trusted_is_not_called(
    server: StubClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_retries.patch(monkeypatch)
    before = server.calls
    with (
        Client(server.address, tls=True) as client,
        pytest.raises(CallFailed, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.classify(b"image")
    assert server.calls == before


def test_mutual_tls_wants_the_callers_certificate(
    mutual: StubClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_retries.patch(monkeypatch)
    with Client(mutual.address, tls_ca=folder / "ca.pem") as client, pytest.raises(CallFailed):
        client.classify(b"image")
    cert, key = folder / "tls.crt", folder / "tls.key"
    with Client(mutual.address, tls_ca=folder / "ca.pem", tls_cert=cert, tls_key=key) as client:
        assert client.classify(b"image").label == "stub"


def test_the_async_client_takes_the_same_files(mutual: StubClassifier, folder: Path) -> None:
    async def classify() -> str:
        async with AsyncClient(
            mutual.address, tls_ca=folder / "ca.pem", tls_cert=folder / "tls.crt", tls_key=folder / "tls.key"
        ) as client:
            return (await client.classify(b"image")).label

    assert asyncio.run(classify()) == "stub"


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"tls_ca": "missing.pem"}, Unavailable, r"missing\.pem cannot be read: No such file"),
        ({"tls_ca": "."}, Unavailable, "cannot be read: Is a directory"),
        ({"tls_ca": "empty.pem"}, DataInvalid, r"empty\.pem holds no certificate authority"),
        ({"tls_ca": "tls.key"}, DataInvalid, r"tls\.key holds no certificate authority"),
        ({"tls_cert": "tls.crt"}, SettingsInvalid, r"certificate .*tls\.crt is given without its key"),
        ({"tls_key": "tls.key"}, SettingsInvalid, r"key .*tls\.key is given without its certificate"),
        ({"tls_cert": "tls.crt", "tls_key": "missing.key"}, Unavailable, r"missing\.key cannot be read"),
        ({"tls_cert": "missing.crt", "tls_key": "tls.key"}, Unavailable, r"missing\.crt cannot be read"),
        ({"tls_cert": "tls.crt", "tls_key": "other.key"}, DataInvalid, "not a certificate and its own key"),
        ({"tls_cert": "tls.key", "tls_key": "tls.crt"}, DataInvalid, "not a certificate and its own key"),
    ],
)
def test_wrong_files_are_named_before_any_call(
    folder: Path, given: dict[str, str], error: type[FoveaError], says: str
) -> None:
    files: dict[str, Any] = {name: folder / file for name, file in given.items()}
    for kind in (Client, AsyncClient):
        with pytest.raises(error, match=says):
            kind("127.0.0.1:1", **files)


def command(
    image: Path, *arguments: str | Path, module: str = "fovea.client"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, "--json", image, *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_speaks_tls(mutual: StubClassifier, folder: Path) -> None:
    own = ("--tls-cert", folder / "tls.crt", "--tls-key", folder / "tls.key")
    ended = command(folder / "ca.pem", "--target", mutual.address, "--tls-ca", folder / "ca.pem", *own)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["predictions"][0]["label"] == "stub"


def test_the_command_refuses_a_certificate_without_its_key(folder: Path) -> None:
    ended = command(folder / "ca.pem", "--tls-cert", "tls.crt")
    assert ended.returncode == 2
    assert ended.stderr == "error: the TLS certificate tls.crt is given without its key\n"


@pytest.mark.parametrize(("file", "code"), [("missing.pem", 69), ("empty.pem", 65)])
def test_the_command_ends_as_the_server_does_over_a_bad_file(folder: Path, file: str, code: int) -> None:
    ended = command(folder / "ca.pem", "--tls-ca", folder / file)
    files = ("--tls-cert", folder / file, "--tls-key", folder / "tls.key")
    served = run_server("--models", str(folder), *map(str, files))
    assert (ended.returncode, served.returncode) == (code, code)
    assert len(ended.stderr.splitlines()) == len(served.stderr.splitlines()) == 1
    assert ended.stderr.startswith(f"error: the TLS file {folder / file} ")


def test_the_command_hints_at_tls(server: StubClassifier, folder: Path) -> None:
    ended = command(folder / "ca.pem", "--target", server.address, module=quick_retries.MODULE)
    assert ended.returncode == 69
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.endswith("are --target and --tls right?\n")


def test_the_command_says_why_the_handshake_failed_in_place_of_the_librarys_words(
    server: StubClassifier, folder: Path
) -> None:
    image, module = folder / "ca.pem", quick_retries.MODULE
    untrusted = command(image, "--target", server.address, "--tls", module=module).stderr
    assert "the TLS handshake failed: CERTIFICATE_VERIFY_FAILED: unable to get" in untrusted
    with stub_server() as plain:
        flags = ("--target", plain.address, "--tls-ca", folder / "ca.pem")
        ended = command(image, *flags, module=module).stderr
    assert "the TLS handshake failed: WRONG_VERSION_NUMBER; is it started" in ended
