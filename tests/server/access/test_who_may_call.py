"""A server that asks for tokens, over gRPC and HTTP: the same callers are let in, told apart and shut out."""

import http.client
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from fovea.client import command
from fovea.errors import DataInvalid, ExitCode
from fovea.oip import open_inference_pb2 as oip
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.access.scopes import Scope
from server.access.tokens import Token
from tests import tiny
from tests.rpc import call_of, health_stub
from tests.server.access.test_web_tokens import AUDIENCE, FIRST_SET, ISSUER, signed
from tests.server.http.calls import PATIENCE_S, Answer, connection_to, request
from tests.servers import ServerProcess, run_server, running_server

CALLER, ADMIN, UNKNOWN, SCRAPER = "caller-secret", "admin-secret", "unknown-secret", "scraper-secret"
CALLERS_LINE: Final = Token.of(CALLER, "nightly", [Scope.CLASSIFY]).line
ADMINS_LINE: Final = Token.of(ADMIN, "ops", [Scope.ADMIN]).line
IMAGE: Final = tiny.picture("red")

READING: Final = (
    ("/v1/model", None),
    ("/v1/models", None),
    ("/v2/models/tiny", None),
    ("/models", None),
    ("/models/tiny", None),
    ("/predictions/tiny", IMAGE),
)

PROBED: Final = ("/ping", "/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready")

Served = tuple[ServerProcess, Path]


@pytest.fixture(scope="module", params=["1", pytest.param("2", marks=pytest.mark.slow)])
def served(
    request: pytest.FixtureRequest, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """By one process, and by two fronts; with the file of its tokens."""
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    path.write_text(f"{CALLERS_LINE}\n{ADMINS_LINE}\n")
    jwks = path.with_name("jwks.json")
    jwks.write_bytes(FIRST_SET)
    web = ("--jwt-jwks", str(jwks), "--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE)
    flags = ("--token-file", str(path), *web, "--fronts", request.param, "--log-level", "debug")
    with running_server(tiny_models, *flags) as server:
        yield server, path


def over_grpc(server: ServerProcess, call: Callable[[grpc.Channel, Any], Any], token: str | None) -> str:
    """The name of the code that it ends with."""
    metadata = [("authorization", f"Bearer {token}")] if token else None
    with grpc.insecure_channel(server.target) as channel:
        try:
            call(channel, metadata)
        except grpc.RpcError as error:
            return str(call_of(error).code().name)
    return "OK"


def over_http(server: ServerProcess, path: str, token: str | None, body: bytes | None = None) -> Answer:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return request(server, "GET" if body is None else "POST", path, body, headers)


def classify(channel: grpc.Channel, metadata: Any) -> None:
    ClassifierStub(channel).Classify(pb.ClassifyRequest(image=IMAGE), metadata=metadata, timeout=PATIENCE_S)


def classify_stream(channel: grpc.Channel, metadata: Any) -> None:
    asked = iter([pb.ClassifyRequest(image=IMAGE)] * 2)
    answers = ClassifierStub(channel).ClassifyStream(asked, metadata=metadata, timeout=PATIENCE_S)
    assert all(answer.HasField("response") for answer in answers)


def infer(channel: grpc.Channel, metadata: Any) -> None:
    tensor = oip.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(IMAGE)
    asked = oip.ModelInferRequest(model_name="tiny", inputs=[tensor])
    GRPCInferenceServiceStub(channel).ModelInfer(asked, metadata=metadata, timeout=PATIENCE_S)


def load(channel: grpc.Channel, metadata: Any) -> None:
    asked = oip.RepositoryModelLoadRequest(model_name="tiny")
    GRPCInferenceServiceStub(channel).RepositoryModelLoad(asked, metadata=metadata, timeout=PATIENCE_S)


def test_a_call_is_answered_by_what_its_token_is_for(served: Served) -> None:
    server, _ = served
    assert server.ready["access"] == "tokens+jwt"
    denied: tuple[tuple[str | None, str], ...] = (
        (None, "UNAUTHENTICATED"),
        (UNKNOWN, "UNAUTHENTICATED"),
        (ADMIN, "PERMISSION_DENIED"),
        (signed(exp=1), "UNAUTHENTICATED"),
        (CALLER, "OK"),
        (signed(), "OK"),
    )
    for token, code in denied:
        for call in (classify, classify_stream, infer):
            assert over_grpc(server, call, token) == code, (call, token)
        http = {"UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "OK": 200}[code]
        for path, body in (("/v1/classify", IMAGE), ("/v1/crop", IMAGE), *READING):
            answer = over_http(server, path, token, body)
            assert answer.status == http, (path, answer)
            assert answer.headers.get("WWW-Authenticate") == ("Bearer" if http == 401 else None)
            assert http == 200 or answer.json["code"] in (code, http)  # TorchServe's callers read a number
    for token, code, http in (
        (None, "UNAUTHENTICATED", 401),
        (CALLER, "PERMISSION_DENIED", 403),
        (ADMIN, "OK", 200),
    ):
        assert over_grpc(server, load, token) == code
        assert over_http(server, "/v2/repository/models/tiny/load", token, b"").status == http


def test_whoever_probes_or_looks_needs_no_token(served: Served) -> None:
    server, _ = served

    def probe(channel: grpc.Channel, metadata: Any) -> None:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(oip.ServerLiveRequest()).live
        assert stub.ServerReady(oip.ServerReadyRequest()).ready
        assert stub.ModelReady(oip.ModelReadyRequest(name="tiny")).ready
        assert health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status == 1
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        reflect = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        (listed,) = reflect(iter([asked]), timeout=PATIENCE_S)
        assert listed.list_services_response.service

    assert over_grpc(server, probe, None) == "OK"
    for path in (*PROBED, "/v2/models/tiny/versions/1/ready", "/openapi.json", "/"):
        assert over_http(server, path, None).status == 200, path
    document = over_http(server, "/openapi.json", None).json
    operation = document["paths"]["/v1/classify"]["post"]
    assert operation["security"] == [{"bearer": []}]
    assert {"401", "403"} <= operation["responses"].keys()
    assert document["paths"]["/predictions/{name}"]["post"]["security"] == [{"bearer": []}]
    for path in ("/", "/ping"):
        assert "security" not in document["paths"][path]["get"]


def test_the_clients_command_says_what_is_missing(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(CALLER)
    (tmp_path / "red.png").write_bytes(IMAGE)
    arguments = ["fovea.client", str(tmp_path / "red.png"), "--target", served[0].target]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(DataInvalid, match=r"asks who calls: a token is needed: .*; is --token-file right\?$"):
        command.main()
    monkeypatch.setattr(sys, "argv", [*arguments, "--token-file", str(tmp_path / "token")])
    assert command.main() is ExitCode.DONE


def test_a_body_is_refused_before_it_is_sent(served: Served) -> None:
    connection = connection_to(served[0])
    connection.putrequest("POST", "/v1/classify")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (401, "UNAUTHENTICATED")
    connection.close()


def test_nobody_is_told_to_send_a_body_that_will_be_refused(served: Served) -> None:
    server, _ = served
    for token, path, length, status in (
        (None, "/v1/classify", len(IMAGE), b"401"),
        (None, "/v2/models/tiny/infer", len(IMAGE), b"401"),
        (ADMIN, "/v1/crop", len(IMAGE), b"403"),
        (CALLER, "/v1/classify", 10**10, b"413"),
        (CALLER, "/v2/models/tiny/infer", 10**10, b"413"),
        (CALLER, "/v1/nothing", len(IMAGE), b"404"),
        (CALLER, "/v1/classify", len(IMAGE), b"100"),
    ):
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{bearer}Content-Length: {length}\r\n"
        with socket.create_connection(("127.0.0.1", server.ready["http_port"]), PATIENCE_S) as caller:
            caller.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            answer = caller.makefile("rb")
            assert answer.readline().split()[1] == status, path
            if status == b"100":
                assert answer.readline() == b"\r\n"
                caller.sendall(IMAGE)
                assert answer.readline().split()[1] == b"200"


def test_strangers_hear_that_a_token_is_needed_before_what_else_is_wrong(served: Served) -> None:
    server, _ = served
    for token, status in ((None, 401), (UNKNOWN, 401), (CALLER, 400)):
        headers = {"X-Timeout-Ms": "soon"} | ({"Authorization": f"Bearer {token}"} if token else {})
        for method, path in (("POST", "/v1/classify"), ("GET", "/v1/model"), ("GET", "/v2/models/tiny")):
            assert request(server, method, path, None, headers).status == status, (path, token)
        assert over_http(server, "/v1/model?nothing=1", token).status == status


def test_a_token_that_is_taken_out_or_put_in_counts_within_a_second_or_so(served: Served) -> None:
    server, path = served
    before = path.read_text()
    newcomer = "newcomers-secret"
    path.write_text(f"{ADMINS_LINE}\n{Token.of(newcomer, 'newcomer', [Scope.CLASSIFY]).line}\n")
    wait_until(lambda: over_grpc(server, classify, newcomer) == "OK")
    wait_until(lambda: over_grpc(server, classify, CALLER) == "UNAUTHENTICATED")
    wait_until(lambda: over_http(server, "/v1/model", CALLER).status == 401)
    path.write_text(before)
    wait_until(lambda: over_http(server, "/v1/model", CALLER).status == 200)


def test_the_log_names_callers_and_no_token(served: Served) -> None:
    server, _ = served
    over_grpc(server, classify, CALLER)
    over_http(server, "/v1/model", f"{UNKNOWN} and more")
    logged = wait_for_caller(server, "Classify", "nightly")
    assert logged["code"] == "OK"
    for secret in (CALLER, ADMIN, UNKNOWN):
        assert secret not in "".join(server.stderr)
    metrics = http.client.HTTPConnection("127.0.0.1", server.ready["metrics_port"], timeout=PATIENCE_S)
    metrics.request("GET", "/metrics")  # which asks for no token: its port is for the network to guard
    page = metrics.getresponse().read().decode()
    metrics.close()
    refused = [line for line in page.splitlines() if line.startswith('fovea_refused_total{reason="unauth')]
    assert len(refused) == 1
    assert float(refused[0].split()[-1]) >= 1


def test_health_and_metrics_ask_for_tokens_where_they_are_told_to(tiny_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"{CALLERS_LINE}\n{Token.of(SCRAPER, 'prometheus', [Scope.METRICS]).line}\n")

    def ready(channel: grpc.Channel, metadata: Any) -> None:
        GRPCInferenceServiceStub(channel).ServerReady(oip.ServerReadyRequest(), metadata=metadata)

    closed = ("--no-open-metrics", "--no-open-health")
    with running_server(tiny_models, "--token-file", str(path), *closed) as server:
        for token, metrics, health in (
            (None, 401, 401),
            (UNKNOWN, 401, 401),
            (CALLER, 403, 200),
            (SCRAPER, 200, 200),
        ):
            for method in ("GET", "HEAD"):
                assert scraped(server, method, token) == (metrics, "Bearer" if metrics == 401 else None)
            assert over_grpc(server, ready, token) == ("OK" if health == 200 else "UNAUTHENTICATED")
            for probed in PROBED:
                assert over_http(server, probed, token).status == health, probed
        for target in (server.target, server.health_target):  # channels and the kubelet have no token to send
            with grpc.insecure_channel(target) as channel:
                assert health_stub(channel).Check(health_pb2.HealthCheckRequest(), PATIENCE_S).status == 1
        document = over_http(server, "/openapi.json", None).json
        assert document["paths"]["/ping"]["get"]["security"] == [{"bearer": []}]


def scraped(server: ServerProcess, method: str, token: str | None) -> tuple[int, str | None]:
    """The status, and who is asked for."""
    connection = http.client.HTTPConnection("127.0.0.1", server.ready["metrics_port"], timeout=PATIENCE_S)
    connection.request(method, "/metrics", headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    connection.close()
    return answer.status, answer.getheader("WWW-Authenticate")


def test_a_file_of_no_use_ends_the_server_with_one_line(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"{CALLERS_LINE}\nops admin {ADMIN}\n")
    ended = run_server("--models", "no/such/models", "--token-file", str(path))
    assert ended.stderr == (
        f"error: --token-file {path}, line 2: the third word is no sha256 in hex, which has 64 digits\n"
    )
    assert ended.returncode == 65


def wait_for_caller(server: ServerProcess, method: str, caller: str) -> dict[str, Any]:
    while True:
        entry = server.wait_for("call")
        if (entry["method"], entry.get("caller")) == (method, caller):
            return entry


def wait_until(holds: Callable[[], bool]) -> None:
    last = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < last
        time.sleep(0.1)
