"""A signal's exception is heard, wherever its handler raises it."""

import gc
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from fovea.errors import Terminated
from fovea.foreground import interruptibly, sleep
from fovea.stopping import Stopping, Torn, raise_lost
from trainer.progress import show_progress


class Object:
    """Can be referred to weakly."""


def in_a_weak_reference(number: signal.Signals) -> None:
    dies = Object()
    held = weakref.ref(dies, lambda _: signal.raise_signal(number))
    del dies
    assert held() is None


def in_a_finalizer(number: signal.Signals) -> None:
    class Dies:
        def __del__(self) -> None:
            signal.raise_signal(number)

    Dies()


def in_the_garbage_collector(number: signal.Signals) -> None:
    def collected(phase: str, _: object) -> None:
        if phase == "start":
            signal.raise_signal(number)

    gc.callbacks.append(collected)
    try:
        gc.collect(0)  # of the young alone: all that a long run of tests holds takes a second
    finally:
        gc.callbacks.remove(collected)


def in_code_that_takes_it_for_its_own_failure(number: signal.Signals) -> None:
    with suppress(BaseException):
        signal.raise_signal(number)


LOSES = (
    in_a_weak_reference,
    in_a_finalizer,
    in_the_garbage_collector,
    in_code_that_takes_it_for_its_own_failure,
)


@pytest.fixture
def stopping() -> Iterator[Stopping]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Stopping("stopped by SIGTERM; run again")
    for number, handler in before.items():
        signal.signal(number, handler)


def hang() -> None:
    threading.Event().wait(20)


def wait_in_a_loop() -> None:
    for _ in show_progress(range(1), "steps", 1):
        pytest.fail("a step was begun")


WAITS: tuple[Callable[[], object], ...] = (
    lambda: interruptibly(hang),
    lambda: sleep(20),
    wait_in_a_loop,
)


def test_an_exception_that_is_lost_in_a_callback_is_raised_by_the_next_wait(
    stopping: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[object] = []
    monkeypatch.setattr("fovea.stopping._report_others", printed.append)
    kinds = ((signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt))
    cases = [(lose, wait, kind) for lose in LOSES for wait in WAITS for kind in kinds]
    for lose, wait, (number, raised) in cases:
        Stopping("stopped by SIGTERM; run again")
        lose(number)
        with pytest.raises(raised) as caught:
            wait()
        if raised is Terminated:
            assert str(caught.value) == "stopped by SIGTERM; run again"
    assert printed == [], "what is not lost was printed as if it were"


def test_it_waits_for_the_end_of_a_step_that_is_not_to_be_torn(stopping: Stopping) -> None:
    saved = []

    def save() -> None:
        with stopping.deferred():
            saved.append(interruptibly(lambda: "half"))
            saved.append(interruptibly(lambda: "whole"))

    in_a_finalizer(signal.SIGTERM)
    with pytest.raises(Terminated):
        save()
    assert saved == ["half", "whole"]


def test_waits_of_whoever_deals_with_it_go_on(stopping: Stopping) -> None:
    """Such as a cleanup that speaks to a store."""
    steps = []

    def stop() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            steps.append(interruptibly(lambda: "cleaned up"))
            signal.raise_signal(signal.SIGTERM)  # as of one who is impatient
            with stopping.deferred():
                steps.append(interruptibly(lambda: "saved"))

    with pytest.raises(Terminated):
        stop()
    assert steps == ["cleaned up", "saved"]


def test_a_second_signal_is_heard_where_the_first_was_lost(stopping: Stopping) -> None:
    in_a_finalizer(signal.SIGTERM)
    with pytest.raises(Terminated):
        signal.raise_signal(signal.SIGTERM)


def test_a_second_ctrl_c_does_not_wait_for_the_step(stopping: Stopping) -> None:
    def step() -> None:
        with stopping.deferred():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("it waited")

    with pytest.raises(Torn):
        step()


def test_other_threads_hear_nothing_of_it(stopping: Stopping) -> None:
    in_a_finalizer(signal.SIGTERM)
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(interruptibly(lambda: "done")))
    thread.start()
    thread.join()
    assert results == ["done"]
    with pytest.raises(Terminated):
        raise_lost()


def test_what_else_is_lost_is_printed_as_ever(stopping: Stopping, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[object] = []
    monkeypatch.setattr("fovea.stopping._report_others", printed.append)

    class Fails:
        def __del__(self) -> None:
            raise ValueError("not a signal's")

    Fails()
    assert len(printed) == 1


def test_an_interrupt_that_was_ignored_stays_ignored() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Stopping()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
