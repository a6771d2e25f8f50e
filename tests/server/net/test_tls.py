"""TLS and mTLS on the port of the calls, with certificates made on the spot."""

import http.client
import re
import socket
import ssl
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from grpc_health.v1 import health_pb2

from fovea.errors import FoveaError
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.net.tls import Certificates
from tests import tiny
from tests.certificates import Authority, Identity
from tests.rpc import call_of, health_stub
from tests.servers import ServerProcess, run_server, running_server

AUTHORITY = Authority.create()
OTHER_AUTHORITY = Authority.create("other ca")
CALLER = AUTHORITY.issue("caller")


def encrypted(key: bytes) -> bytes:
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server's certificate, as Kubernetes mounts a secret: files behind two links."""
    folder = tmp_path_factory.mktemp("secret")
    mount(folder, AUTHORITY.issue("first"))
    return folder


@pytest.fixture(scope="module")
def tls_server(tiny_models: Path, secret: Path) -> Iterator[ServerProcess]:
    with running_server(tiny_models, *pair_flags(secret)) as server:
        yield server


@pytest.fixture(scope="module")
def mtls_server(
    tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, Path]]:
    """With its folder of PEM files."""
    folder = tmp_path_factory.mktemp("mtls")
    write_pair(folder, AUTHORITY.issue("server"))
    (folder / "ca.crt").write_bytes(AUTHORITY.pem)
    flags = (*pair_flags(folder), "--tls-client-ca", str(folder / "ca.crt"))
    with running_server(tiny_models, *flags) as server:
        yield server, folder


def test_calls_are_answered_over_tls(tls_server: ServerProcess) -> None:
    assert classify(tls_server) == "red"
    assert tls_server.ready["tls"] == "tls"


def test_server_without_certificate_says_that_tls_is_off(server: ServerProcess) -> None:
    assert server.ready["tls"] == "off"


def test_plain_text_is_refused_on_the_port_of_the_calls(tls_server: ServerProcess) -> None:
    with grpc.insecure_channel(tls_server.target) as channel, pytest.raises(grpc.RpcError) as raised:
        ClassifierStub(channel).Classify(pb.ClassifyRequest(image=tiny.picture("red")), timeout=30)
    assert call_of(raised.value).code() is grpc.StatusCode.UNAVAILABLE
    assert classify(tls_server) == "red"


def test_caller_who_trusts_another_authority_does_not_call(tls_server: ServerProcess) -> None:
    assert refused(tls_server, authority=OTHER_AUTHORITY)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_versions_of_tls_are_refused(tls_server: ServerProcess) -> None:
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"alert|closed|reset|EOF|version"):
        shown_certificate(tls_server, context)


def test_health_and_metrics_stay_plain_text(tls_server: ServerProcess) -> None:
    with grpc.insecure_channel(tls_server.health_target) as channel:
        answer = health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with urllib.request.urlopen(tls_server.metrics_url, timeout=30) as page:
        assert b"fovea_model_info" in page.read()


def test_certificate_swapped_by_link_is_shown_to_the_next_caller(
    tls_server: ServerProcess, secret: Path
) -> None:
    with connected(tls_server) as open_before:
        stub = ClassifierStub(open_before)
        request = pb.ClassifyRequest(image=tiny.picture("blue"))
        stub.Classify(request, timeout=30)
        mount(secret, AUTHORITY.issue("second"))
        assert shown_certificate(tls_server) == "second"
        stub.Classify(request, timeout=30)
    assert classify(tls_server) == "red"


BREAKS: dict[str, Callable[[Path], object]] = {
    "cannot be read: No such file": lambda folder: (folder / "tls.crt").unlink(),
    "is not a file of PEM certificates": lambda folder: halve(folder / "tls.crt"),
    "is not a PEM private key": lambda folder: halve(folder / "tls.key"),
    "does not belong to the certificate": lambda folder: (folder / "tls.key").write_bytes(
        AUTHORITY.issue("x").key
    ),
}


@pytest.mark.parametrize("complaint", BREAKS)
def test_broken_replacement_keeps_the_old_certificate_and_warns_once(
    mtls_server: tuple[ServerProcess, Path], complaint: str
) -> None:
    server, folder = mtls_server
    write_pair(folder, AUTHORITY.issue("good"))
    assert shown_certificate(server) == "good"
    server.wait_for("certificate replaced")
    before = len(server.stderr)
    BREAKS[complaint](folder)
    assert [shown_certificate(server) for _ in range(3)] == ["good"] * 3
    write_pair(folder, AUTHORITY.issue("mended"))
    assert shown_certificate(server) == "mended"
    server.wait_for("certificate replaced")
    (warning,) = (line for line in server.stderr[before:] if '"level": "warning"' in line)
    assert "the old certificate is kept" in warning
    assert complaint in warning


def test_caller_with_a_certificate_is_answered_under_mtls(mtls_server: tuple[ServerProcess, Path]) -> None:
    server, _ = mtls_server
    assert classify(server, CALLER) == "red"
    assert server.ready["tls"] == "mtls"


def test_caller_without_a_certificate_is_refused_under_mtls(mtls_server: tuple[ServerProcess, Path]) -> None:
    assert refused(mtls_server[0])


def test_caller_of_another_authority_is_refused_under_mtls(mtls_server: tuple[ServerProcess, Path]) -> None:
    assert refused(mtls_server[0], OTHER_AUTHORITY.issue("caller"))


def test_health_needs_no_certificate_under_mtls(mtls_server: tuple[ServerProcess, Path]) -> None:
    with grpc.insecure_channel(mtls_server[0].health_target) as channel:
        answer = health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_http_shows_and_asks_for_the_same_certificates(mtls_server: tuple[ServerProcess, Path]) -> None:
    server, folder = mtls_server
    for name in ("first over http", "second over http"):
        write_pair(folder, AUTHORITY.issue(name))
        assert shown_over_http(server, CALLER) == name
    for stranger in (None, OTHER_AUTHORITY.issue("caller")):
        with pytest.raises(OSError, match=r"alert|EOF|closed|reset"):
            shown_over_http(server, stranger)
    (folder / "ca.crt").write_bytes(OTHER_AUTHORITY.pem)
    try:
        assert shown_over_http(server, OTHER_AUTHORITY.issue("caller")) == "second over http"
        with pytest.raises(OSError, match=r"alert|EOF|closed|reset"):
            shown_over_http(server, CALLER)
    finally:
        (folder / "ca.crt").write_bytes(AUTHORITY.pem)


def test_replaced_authority_decides_who_may_call_next(mtls_server: tuple[ServerProcess, Path]) -> None:
    server, folder = mtls_server
    newcomer = OTHER_AUTHORITY.issue("caller")
    (folder / "ca.crt").write_bytes(OTHER_AUTHORITY.pem)
    try:
        assert classify(server, newcomer) == "red"
        assert refused(server, CALLER)
        (folder / "ca.crt").write_bytes(b"")  # which gRPC itself would take for no authorities at all
        assert refused(server)
        assert classify(server, newcomer) == "red"
    finally:
        (folder / "ca.crt").write_bytes(AUTHORITY.pem)


@pytest.mark.parametrize(
    ("spoiled", "contents", "code", "complaint"),
    [
        ("tls.crt", None, 69, "--tls-cert {}: cannot be read: No such file or directory"),
        ("tls.key", None, 69, "--tls-key {}: cannot be read: No such file or directory"),
        ("ca.crt", None, 69, "--tls-client-ca {}: cannot be read: No such file or directory"),
        ("tls.crt", b"garbage", 65, "--tls-cert {}: is not a file of PEM certificates"),
        ("ca.crt", b"", 65, "--tls-client-ca {}: is not a file of PEM certificates"),
        ("ca.crt", AUTHORITY.pem + AUTHORITY.pem[:200], 65, "--tls-client-ca {}: is not a file of PEM"),
        ("tls.key", b"garbage", 65, "--tls-key {}: is not a PEM private key without a password"),
        ("tls.key", encrypted(CALLER.key), 65, "--tls-key {}: is not a PEM private key without a password"),
        ("tls.key", CALLER.key, 65, "--tls-key {}: does not belong to the certificate"),
    ],
)
def test_file_of_no_use_is_named(
    tmp_path: Path, spoiled: str, contents: bytes | None, code: int, complaint: str
) -> None:
    write_pair(tmp_path, AUTHORITY.issue("server"))
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.pem)
    (tmp_path / spoiled).unlink()
    if contents is not None:
        (tmp_path / spoiled).write_bytes(contents)
    with pytest.raises(FoveaError, match="^" + re.escape(complaint.format(tmp_path / spoiled))) as raised:
        Certificates(tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "ca.crt")
    assert raised.value.exit_code == code


def test_missing_certificate_ends_the_server_with_one_line_before_anything_is_started(tmp_path: Path) -> None:
    ended = run_server("--models", "no/such/models", "--host", "no.such.host", *pair_flags(tmp_path))
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: --tls-cert {tmp_path / 'tls.crt'}: cannot be read")
    assert ended.returncode == 69


def mount(folder: Path, identity: Identity) -> None:
    """Puts the pair there as kubelet does: a new folder, and a link to it renamed over the old link."""
    version = folder / f"..{len(list(folder.iterdir()))}"
    version.mkdir()
    write_pair(version, identity)
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)


def write_pair(folder: Path, identity: Identity) -> None:
    (folder / "tls.crt").write_bytes(identity.certificate)
    (folder / "tls.key").write_bytes(identity.key)


def halve(path: Path) -> None:
    contents = path.read_bytes()
    path.write_bytes(contents[: len(contents) // 2])


def pair_flags(folder: Path) -> tuple[str, ...]:
    return ("--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key"))


def connected(
    server: ServerProcess, identity: Identity | None = None, authority: Authority = AUTHORITY
) -> grpc.Channel:
    own = (identity.key, identity.certificate) if identity else (None, None)
    return grpc.secure_channel(server.target, grpc.ssl_channel_credentials(authority.pem, *own))


def classify(server: ServerProcess, identity: Identity | None = None) -> str:
    with connected(server, identity) as channel:
        request = pb.ClassifyRequest(image=tiny.picture("red"))
        return str(ClassifierStub(channel).Classify(request, timeout=30).predictions[0].label)


def refused(
    server: ServerProcess, identity: Identity | None = None, authority: Authority = AUTHORITY
) -> bool:
    with connected(server, identity, authority) as channel, pytest.raises(grpc.RpcError) as raised:
        ClassifierStub(channel).Classify(pb.ClassifyRequest(image=tiny.picture("red")), timeout=30)
    return call_of(raised.value).code() is grpc.StatusCode.UNAVAILABLE


def shown_certificate(server: ServerProcess, context: ssl.SSLContext | None = None) -> str:
    """The common name in the certificate that a new connection is shown."""
    context = context or ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    with (
        socket.create_connection(("127.0.0.1", server.ready["port"]), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        certificate = connection.getpeercert()
    assert certificate
    return common_name(certificate)


def shown_over_http(server: ServerProcess, identity: Identity | None) -> str:
    """The common name that a caller is shown who gets an answer. Raises OSError where it gets none."""
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    with tempfile.TemporaryDirectory() as own:
        if identity is not None:
            write_pair(Path(own), identity)
            context.load_cert_chain(Path(own) / "tls.crt", Path(own) / "tls.key")
        connection = http.client.HTTPSConnection(
            "localhost", server.ready["http_port"], timeout=30, context=context
        )
        try:
            connection.request("POST", "/v1/classify", tiny.picture("red"))
            certificate = cast("ssl.SSLSocket", connection.sock).getpeercert()
            assert connection.getresponse().status == 200
        finally:
            connection.close()
    assert certificate
    return common_name(certificate)


def common_name(certificate: "ssl._PeerCertRetDictType") -> str:
    subject = cast("tuple[tuple[tuple[str, str], ...], ...]", certificate["subject"])
    return dict(field for part in subject for field in part)["commonName"]
