import os
import signal
import threading
import time

import pytest

from fovea.foreground import interruptibly


class Stopped(Exception):
    pass


def test_a_call_gives_its_result() -> None:
    assert interruptibly(lambda: 7) == 7


def test_a_call_gives_its_exception() -> None:
    def fail() -> None:
        raise FileNotFoundError("x")

    with pytest.raises(FileNotFoundError, match="x"):
        interruptibly(fail)


def test_a_thread_makes_its_calls_itself() -> None:
    seen: list[threading.Thread] = []
    thread = threading.Thread(target=lambda: interruptibly(lambda: seen.append(threading.current_thread())))
    thread.start()
    thread.join()
    assert seen == [thread]


def test_a_signal_is_handled_while_the_call_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, never = threading.Event(), threading.Event()

    def stop(*_: object) -> None:
        raise Stopped

    def hang() -> None:
        inside.set()
        never.wait(30)

    def send() -> None:
        assert inside.wait(30)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    threading.Thread(target=send).start()
    started = time.monotonic()
    try:
        with pytest.raises(Stopped):
            interruptibly(hang)
        assert time.monotonic() - started < 10
    finally:
        never.set()
        signal.signal(signal.SIGUSR1, before)
