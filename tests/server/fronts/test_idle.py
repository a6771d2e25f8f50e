"""What a loop does when it is idle: before it sleeps, once for all, and in time where it never sleeps."""

import asyncio
import selectors
import socket

import pytest

from server.fronts import idle
from server.fronts.idle import HELD_S, IdleSelector


class Clock:
    def __init__(self) -> None:
        self.now = 7.0

    def monotonic(self) -> float:
        return self.now


def test_it_is_done_when_nothing_else_is_to_be_done_or_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, done, selector = Clock(), list[str](), IdleSelector()
    monkeypatch.setattr(idle, "time", clock)
    ours, theirs = socket.socketpair()
    with ours, theirs, selector:
        selector.register(ours, selectors.EVENT_READ)
        selector.when_idle(lambda: done.append("first"))
        selector.when_idle(lambda: done.append("never: the first is yet to come"))
        assert selector.select(0) == []
        assert done == [], "the loop has something to do"
        theirs.send(b"x")
        clock.now += HELD_S / 2
        assert len(selector.select(None)) == 1
        assert done == [], "there is something to be read"
        clock.now += HELD_S
        assert len(selector.select(None)) == 1
        assert done == ["first"], "it has waited long enough"
        selector.when_idle(lambda: done.append("second"))
        ours.recv(1)
        assert selector.select(None) == [], "the loop looks first at what came of it"
        assert done == ["first", "second"]
        assert selector.select(0.001) == []


def test_a_loop_that_waits_for_nothing_else_does_it_at_once() -> None:
    async def wait() -> None:
        done = asyncio.get_running_loop().create_future()
        selector.when_idle(lambda: done.set_result(None))
        await done

    selector = IdleSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(asyncio.wait_for(wait(), 20))
