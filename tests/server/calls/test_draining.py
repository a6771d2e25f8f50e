"""How long the end of the calls takes, on a clock that moves when it is slept by."""

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from server.calls import draining
from server.calls.draining import drain_calls
from server.queue.priorities import Admission
from tests.server.event_loop import all_has_run, in_event_loop
from tests.server.manual_clock import ManualClock

OVERSLEPT_S = 0.001


class Stopped:
    """In gRPC's place: keeps how long answers may take to be sent."""

    send_s: float | None = None

    async def stop(self, grace: float | None) -> None:
        self.send_s = grace


@in_event_loop
async def test_what_is_in_flight_is_finished_before_the_server_stops() -> None:
    admission, calls = Admission(max_images=8, max_bytes=100), grpc.aio.server()
    await calls.start()
    with admission.admit(1, 1):
        ending = asyncio.create_task(drain_calls(calls, admission, grace_s=60))
        await all_has_run()
        assert not ending.done()
    assert await ending, "nothing had to be cut"


@in_event_loop
async def test_what_is_in_flight_after_the_grace_period_is_given_up() -> None:
    admission, calls = Admission(max_images=8, max_bytes=100), grpc.aio.server()
    await calls.start()
    with admission.admit(1, 1):
        assert not await drain_calls(calls, admission, grace_s=0)


def test_refusals_go_on_until_it_is_quiet_within_the_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    for grace_s, refused_until_s, quiet_s, send_s in (
        (60, 0, 0.1, 1.0),
        (60, 0.24, 0.3, 1.0),
        (60, 3600, 1.0, 1.0),
        (0.7, 0, 0.1, 0.6),
        (0.7, 3600, 0.7, 0.0),
        (0.05, 0, 0.05, 0.0),
    ):
        elapsed_s, sent_s = drained(monkeypatch, grace_s, refused_until_s)
        assert elapsed_s == pytest.approx(quiet_s, abs=0.06 if 0 < refused_until_s < 1 else 0.03)
        assert sent_s == pytest.approx(send_s, abs=0.03)
        assert sent_s >= 0


def drained(monkeypatch: pytest.MonkeyPatch, grace_s: float, refused_until_s: float) -> tuple[float, float]:
    """Seconds until the server is stopped, and what it then has to send answers; calls come all the time."""
    admission, calls, clock = Admission(max_images=8, max_bytes=100), Stopped(), ManualClock()
    clock.now = 1_000.0

    async def sleep(seconds: float) -> None:
        clock.now += seconds + OVERSLEPT_S
        admission.last_refusal = min(clock.now - 0.01, 1_000.0 + refused_until_s)

    monkeypatch.setattr(draining, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(draining, "asyncio", SimpleNamespace(sleep=sleep, wait_for=asyncio.wait_for))
    unseen: Any = calls
    assert asyncio.run(drain_calls(unseen, admission, grace_s))
    assert calls.send_s is not None
    return clock.now - 1_000.0, calls.send_s
