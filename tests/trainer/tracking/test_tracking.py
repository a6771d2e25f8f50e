"""Trackers hear what a training tells; those that fail or hang cost it nothing but a line."""

import time
from contextlib import nullcontext
from pathlib import Path
from threading import Event, Semaphore

import pytest

from fovea.errors import DataInvalid, Terminated
from tests.markdown import Page
from tests.trainer.tracking.standings import BEGUN, CHOSEN, PUBLISHED, REFUSED, record
from trainer.tracking import tracking
from trainer.tracking.standing import Standing
from trainer.tracking.trackers import HABITS
from trainer.tracking.tracking import END_S, STOPPED_S, Tracking

PAGE = Page.read(Path(__file__).parents[3] / "docs/training.md").section("TensorBoard and MLflow").text
LOGGER = "trainer.tracking.tracking"


class Listener:
    """Hears what it is told while the gate is open, but for the calls that fail."""

    place = "--log-to a listener"

    def __init__(self, *failures: Exception | None) -> None:
        """Of its first calls; None of one that is heard."""
        self.told: list[Standing] = []
        self.gate, self.begun, self.done, self.ended = Event(), Semaphore(0), Semaphore(0), Event()
        self._failures = iter(failures)
        self.gate.set()

    def tell(self, standing: Standing) -> None:
        self.begun.release()
        assert self.gate.wait(60)
        try:
            if failure := next(self._failures, None):
                raise failure
            self.told.append(standing)
            if standing.status != "RUNNING":
                self.ended.set()
        finally:
            self.done.release()


def test_end_is_told_as_the_training_ended() -> None:
    for error, outcome, status in (
        (None, PUBLISHED, "FINISHED"),
        (None, REFUSED, "FAILED"),
        (DataInvalid("diverged"), None, "FAILED"),
        (RuntimeError("a bug"), None, "FAILED"),
        (Terminated("stopped"), None, "KILLED"),
        (KeyboardInterrupt(), None, "KILLED"),
    ):
        listeners = [Listener(), Listener()]
        ends = pytest.raises(type(error)) if error else nullcontext()
        with ends, Tracking(BEGUN, listeners).told() as telling:
            telling.choice(CHOSEN, [Path("lr_find.json")])
            telling.epochs([record(1), record(2)])
            if outcome:
                telling.outcome(outcome, [Path("report.html")])
            if error:
                raise error
        for listener in listeners:
            last = listener.told[-1]
            assert last.status == status
            assert (last.chosen, last.outcome) == (CHOSEN, outcome)
            assert [epoch.epoch for epoch in last.epochs] == [1, 2]
            assert [file.name for file in last.files] == ["lr_find.json", "report.html"][: 1 + bool(outcome)]


def test_tracker_that_hangs_is_waited_for_at_the_end_alone_and_not_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "END_S", 0.2)
    listener, started = Listener(), time.monotonic()
    listener.gate.clear()
    with Tracking(BEGUN, [listener]).told() as telling:
        assert listener.begun.acquire(timeout=60)
        for epoch in range(1, 1000):
            telling.epochs([record(epoch)])
    assert time.monotonic() - started < 20
    assert said(caplog) == ["--log-to a listener does not answer: it was not told how the training ended"]
    listener.gate.set()
    assert listener.ended.wait(60)
    assert [standing.status for standing in listener.told] == ["RUNNING", "FINISHED"]


def test_one_that_was_given_up_says_nothing_more_when_it_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "END_S", 0.05)
    listener = Listener(OSError("reset"))
    listener.gate.clear()
    with Tracking(BEGUN, [listener]).told():
        assert listener.begun.acquire(timeout=60)
    listener.gate.set()
    assert listener.ended.wait(60)
    assert said(caplog) == ["--log-to a listener does not answer: it was not told how the training ended"]


def test_one_that_was_stopped_waits_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "STOPPED_S", 0.2)
    listener, started = Listener(), time.monotonic()
    listener.gate.clear()
    with pytest.raises(Terminated), Tracking(BEGUN, [listener]).told():
        raise Terminated
    assert time.monotonic() - started < 20
    listener.gate.set()


def test_tracker_that_fails_costs_one_line_until_it_answers_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "AGAIN_S", 0.01)
    away = OSError("http://me:secret@host/x is away\nsee above")
    listener, healthy = Listener(None, away, away, None, away, away, away), Listener()
    with Tracking(BEGUN, [listener, healthy]).told() as telling:
        for epoch in range(1, 5):
            assert listener.done.acquire(timeout=60)
            telling.epochs([record(epoch)])
        assert listener.done.acquire(timeout=60)
    lines = said(caplog)
    assert len(lines) == 2
    assert all("http://host/x is away" in line and "\n" not in line for line in lines)
    assert "secret" not in caplog.text
    assert [standing.epochs[-1].epoch for standing in listener.told if standing.epochs] == [3]
    assert healthy.told[-1].status == "FINISHED"


def test_end_that_was_not_heard_is_told_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "AGAIN_S", 0.01)
    listener = Listener(None, OSError("away"))
    with Tracking(BEGUN, [listener]).told():
        assert listener.done.acquire(timeout=60)
    assert [standing.status for standing in listener.told] == ["RUNNING", "FINISHED"]


def test_page_says_how_long_is_waited() -> None:
    assert f"{END_S:.0f} seconds at most, and {STOPPED_S:.0f} after a signal" in PAGE
    assert f"A call is given up after {HABITS['MLFLOW_HTTP_REQUEST_TIMEOUT']} seconds" in PAGE


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == LOGGER]
