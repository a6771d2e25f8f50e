"""Which server gets a call, and which calls are tried again."""

import asyncio
import time
from collections.abc import Iterator

import grpc
import pytest

from fovea.client import AsyncClient, CallFailed, Classification, Client
from tests.fovea.client import quick_retries
from tests.stub_classifier import StubClassifier, stub_server

PATIENCE_S = 30
LARGE = 1_000_000
"""Bytes; more than gRPC would keep for another try by itself."""


@pytest.fixture
def stub() -> Iterator[StubClassifier]:
    with stub_server() as stub:
        yield stub


@pytest.fixture
def unready() -> Iterator[StubClassifier]:
    with stub_server(serving=False) as stub:
        yield stub


def both(first: StubClassifier, second: StubClassifier) -> str:
    return f"ipv4:{first.address},{second.address}"


def test_a_server_that_is_not_ready_gets_no_calls_until_it_is(
    stub: StubClassifier, unready: StubClassifier
) -> None:
    with Client(both(unready, stub)) as client:
        for _ in range(20):
            client.classify(b"image")
        assert (stub.calls, unready.calls) == (20, 0)
        unready.set_serving(True)
        until = time.monotonic() + PATIENCE_S
        while not unready.calls and time.monotonic() < until:
            client.classify(b"image")
    assert unready.calls == 1


def test_async_calls_go_to_every_ready_server(stub: StubClassifier, unready: StubClassifier) -> None:
    async def classify(target: str) -> None:
        until = time.monotonic() + PATIENCE_S
        async with AsyncClient(target) as client:
            while min(stub.calls, third.calls) < 5 and time.monotonic() < until:
                await client.classify(b"image")

    with stub_server() as third:
        asyncio.run(classify(f"{both(unready, stub)},{third.address}"))
        assert min(stub.calls, third.calls) == 5
    assert unready.calls == 0


@pytest.mark.parametrize("size", [1, LARGE])
def test_an_unavailable_server_is_tried_five_times(
    stub: StubClassifier, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_retries.patch(monkeypatch)
    stub.always = grpc.StatusCode.UNAVAILABLE
    with Client(stub.address) as client, pytest.raises(CallFailed, match="as the test wants it"):
        client.classify(bytes(size))
    assert stub.calls == 5


def test_an_async_call_is_tried_again_until_it_is_answered(stub: StubClassifier) -> None:
    async def classify() -> str:
        async with AsyncClient(stub.address) as client:
            return (await client.classify(bytes(LARGE))).label

    stub.statuses = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE]
    assert asyncio.run(classify()) == "stub"
    assert stub.calls == 3


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    ],
)
def test_another_failure_is_not_tried_again(stub: StubClassifier, code: grpc.StatusCode) -> None:
    stub.always = code
    with Client(stub.address) as client, pytest.raises(CallFailed) as caught:
        client.classify(b"image")
    assert caught.value.code is code
    assert stub.calls == 1


def test_all_calls_that_a_server_had_when_it_went_are_tried_again(stub: StubClassifier) -> None:
    stub.statuses = [grpc.StatusCode.UNAVAILABLE] * 300
    with Client(stub.address) as client:
        outcomes = list(client.classify_many([b"image"] * 100, window=100))
    assert [outcome.label for outcome in outcomes if isinstance(outcome, Classification)] == ["stub"] * 100
    assert stub.calls == 400


def test_retries_stop_while_most_calls_fail(stub: StubClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_retries.patch(monkeypatch)
    stub.always = grpc.StatusCode.UNAVAILABLE
    with Client(stub.address) as client:
        list(client.classify_many([b"image"] * 600, window=600))
        before = stub.calls
        with pytest.raises(CallFailed):
            client.classify(b"image")
    assert before < 600 * 3
    assert stub.calls == before + 1


def test_the_deadline_holds_over_all_tries(stub: StubClassifier) -> None:
    stub.always = grpc.StatusCode.UNAVAILABLE
    with Client(stub.address, timeout_s=0.3) as client, pytest.raises(CallFailed) as caught:
        client.classify(b"image")
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.calls < 4


@pytest.mark.parametrize("timeout_s", [0, -1, 86_401, 1e30, float("inf"), float("nan")])
def test_a_client_without_a_sensible_deadline_is_refused(timeout_s: float) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="timeout_s must be"):
            kind("127.0.0.1:1", timeout_s=timeout_s)


def test_a_large_window_goes_over_several_connections(stub: StubClassifier) -> None:
    async def classify_many(window: int) -> None:
        async with AsyncClient(stub.address) as client:
            images = [b"image"] * window
            assert len([each async for each in client.classify_many(images, window=window)]) == window

    for window, connections in ((16, 1), (64, 1), (65, 2), (300, 4)):
        stub.connections.clear()
        with Client(stub.address) as client:
            assert len(list(client.classify_many([b"image"] * window, window=window))) == window
        assert len(stub.connections) == connections
        stub.connections.clear()
        asyncio.run(classify_many(window))
        assert len(stub.connections) == connections
