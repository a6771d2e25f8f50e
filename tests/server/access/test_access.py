"""Who is let in to which call, without a server around it."""

import asyncio
from pathlib import Path
from typing import Any, Final, cast

import grpc
import pytest
from aiohttp.test_utils import make_mocked_request

from fovea.oip import open_inference_pb2
from fovea.v1 import classify_pb2
from server.access.access import Access, Presented
from server.access.scopes import Scope, scope_of
from server.access.tokens import Token, TokenFile
from server.calls.answering import AccessLog, Calls
from server.errors import DeadlinePassed, PermissionDenied, Unauthenticated
from server.http.call import HttpCall
from server.telemetry.call_metrics import HTTP, OwnCallMetrics
from tests.server.event_loop import in_event_loop

CALLER, ADMIN = "caller-token", "admin-token"


class PlainCall:
    """What gRPC, or HTTP, gives a handler."""

    def __init__(self, *metadata: tuple[str, str | bytes]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:10.0.0.7:51234"

    def time_remaining(self) -> None:
        return None

    async def abort_with_status(self, status: grpc.Status) -> None:
        raise Ended(status.code, status.details)


class Ended(Exception):
    pass


def bearing(token: str) -> PlainCall:
    return PlainCall(("user-agent", "x"), ("authorization", f"Bearer {token}"))


@pytest.fixture
def access(tmp_path: Path) -> Access:
    path = tmp_path / "tokens"
    lines = [Token.of(CALLER, "nightly", [Scope.CLASSIFY]).line, Token.of(ADMIN, "ops", [Scope.ADMIN]).line]
    path.write_text("\n".join(lines))
    return Access(TokenFile(path))


METHODS: Final = [
    method
    for contract in (classify_pb2, open_inference_pb2)
    for service in contract.DESCRIPTOR.services_by_name.values()
    for method in service.methods_by_name
]


@in_event_loop
async def test_every_method_but_three_needs_a_token(access: Access) -> None:
    needs = {method: scope_of(method) for method in (*METHODS, "/metrics")}
    assert [method for method, scope in needs.items() if scope is Scope.METRICS] == ["/metrics"]
    open_to_all = {method for method, scope in needs.items() if scope is None}
    assert open_to_all == {"ServerLive", "ServerReady", "ModelReady"}
    changing = {method for method, scope in needs.items() if scope is Scope.ADMIN}
    assert changing == {"RepositoryModelLoad", "RepositoryModelUnload"}
    for method, scope in needs.items():
        if scope is None:
            assert await access.check(method, PlainCall()) == ""
            continue
        with pytest.raises(Unauthenticated, match="a token is needed: send it as"):
            await access.check(method, PlainCall())
        for token, name, may in ((CALLER, "nightly", Scope.CLASSIFY), (ADMIN, "ops", Scope.ADMIN)):
            if scope is may:
                assert await access.check(method, bearing(token)) == name
            else:
                with pytest.raises(PermissionDenied, match=f"^{method} needs a token for {scope}, .*{name}"):
                    await access.check(method, bearing(token))


@in_event_loop
async def test_a_token_comes_as_rfc_6750_has_it(access: Access) -> None:
    for value in (f"Bearer {CALLER}", f"bearer {CALLER}", f"BEARER   {CALLER} "):
        assert await access.check("Classify", PlainCall(("authorization", value))) == "nightly"
    refused: tuple[tuple[tuple[str, str | bytes], ...], ...] = (
        (("authorization", CALLER),),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer "),),
        (("authorization", f"Bearer{CALLER}"),),
        (("authorization", f"Basic {CALLER}"),),
        (("authorization", f"Bearer {CALLER} {CALLER}"),),
        (("authorization", f"Bearer {CALLER}\n"),),
        (("authorization", f"Bearer {CALLER}".encode()),),
        (("authorization", f"Bearer {CALLER}\udcff\u00e4"),),
        (("authorization", f"Bearer {'x' * 16_000}"),),
        (("authorization", f"Bearer {CALLER}x"),),
        (("authorization", f"Bearer {CALLER}"), ("authorization", f"Bearer {CALLER}")),
        (("x-authorization", f"Bearer {CALLER}"),),
    )
    for metadata in refused:
        with pytest.raises(Unauthenticated) as raised:
            await access.check("Classify", PlainCall(*metadata))
        assert CALLER not in str(raised.value)


@in_event_loop
async def test_a_call_is_counted_and_logged_with_who_made_it_before_it_is_looked_at(
    access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    calls = Calls(OwnCallMetrics(None), AccessLog(1), HTTP, access)

    async def answer(method: str, call: Any) -> str:
        async with calls.answering(method, None, "", call, None) as known:
            return known.caller

    assert await answer("Classify", bearing(CALLER)) == "nightly"
    for method, call, code in (
        ("Classify", PlainCall(), grpc.StatusCode.UNAUTHENTICATED),
        ("Classify", bearing("unknown"), grpc.StatusCode.UNAUTHENTICATED),
        ("RepositoryModelLoad", bearing(CALLER), grpc.StatusCode.PERMISSION_DENIED),
    ):
        with pytest.raises(Ended) as ended:
            await answer(method, call)
        assert ended.value.args[0] is code
    logged = [vars(record) for record in caplog.records if record.message == "call"]
    assert [(each["method"], each["code"], each.get("caller")) for each in logged] == [
        ("HTTP Classify", "OK", "nightly"),
        ("HTTP Classify", "UNAUTHENTICATED", None),
        ("HTTP Classify", "UNAUTHENTICATED", None),
        ("HTTP RepositoryModelLoad", "PERMISSION_DENIED", "nightly"),
    ]
    assert not [each for each in logged if CALLER in str(each)]


class Undecided(Access):
    """Whether anybody may call is never known."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def check(self, method: str, call: Presented) -> str:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


@in_event_loop
async def test_a_call_that_ends_before_it_is_known_who_makes_it_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    access = Undecided()
    calls = Calls(OwnCallMetrics(None), AccessLog(1), HTTP, access)

    async def answer() -> None:
        async with calls.answering("Classify", None, "", cast("Any", PlainCall()), None):
            raise AssertionError

    answering = asyncio.create_task(answer())
    await access.asked.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    call = HttpCall(make_mocked_request("POST", "/", headers={"X-Timeout-Ms": "1"}))
    with pytest.raises(DeadlinePassed, match="before it was known who calls"):
        await call.begin(calls, "Classify")
    logged = [vars(record) for record in caplog.records if record.message == "call"]
    assert [each["code"] for each in logged] == ["CANCELLED"]
