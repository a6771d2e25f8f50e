"""What the fronts share: limits that hold together, and counts that add up, also of those that have ended."""

import contextlib
import math
import mmap
import multiprocessing
import os
import re
import time
from array import array
from multiprocessing.connection import Connection
from typing import Final

import prometheus_client as prometheus
import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from server.errors import QueueFull
from server.fronts.page import Page, SharedCallMetrics, SharedLedger, SummedCallMetrics
from server.queue.priorities import Admission, InFlight, Priority
from server.telemetry.call_metrics import METHODS, SECONDS, CallMetrics, OwnCallMetrics


def admissions(page: Page, max_images: int = 8, max_bytes: int = 100) -> list[Admission]:
    return [Admission(max_images, max_bytes, SharedLedger(page, front)) for front in range(page.fronts)]


def test_room_is_that_of_all_fronts_together() -> None:
    page = Page.create(3)
    one, two, three = admissions(page)
    with one.admit(5, 10, Priority.BULK), two.admit(1, 20):
        assert (one.images, two.images, three.images) == (5, 1, 0)
        assert page.in_flight() == InFlight(6, 30, 5, 10)
        with pytest.raises(QueueFull, match="6 images are in flight, of 8"), three.admit(3, 1):
            pass
        with pytest.raises(QueueFull, match="30 bytes are in flight, of 100"), three.admit(1, 71):
            pass
        with pytest.raises(QueueFull, match="5 images of bulk calls"), three.admit(2, 1, Priority.BULK):
            pass
        with three.admit(1, 70):
            assert page.in_flight().bytes == 100
    assert page.in_flight() == InFlight()


def test_what_a_front_had_in_flight_is_not_there_when_it_has_ended() -> None:
    page = Page.create(2)
    one, two = admissions(page)
    with two.admit(3, 5):
        dying = one.admit(5, 50)
        dying.__enter__()
        page.end(0)
        assert page.in_flight() == InFlight(3, 5)
        with two.admit(5, 95):
            pass


TRIES: Final = 20_000


def enter_and_leave(page: Page, front: int, inside: "memoryview[int]", entered: Connection) -> None:
    """Tells how often it found room for one image, and how often another process was in that room then."""
    admission, times, met = admissions(page, max_images=1)[front], 0, 0
    entered.recv()
    for _ in range(TRIES):
        with contextlib.suppress(QueueFull), admission.admit(1, 1):
            inside[front] = 1
            times += 1
            met += inside[1 - front]
            inside[front] = 0
    entered.send((times, met))


def test_two_that_decide_at_once_do_not_both_take_the_last_room() -> None:
    page, inside = Page.create(2), memoryview(mmap.mmap(-1, 16)).cast("q")
    fork, pipes = multiprocessing.get_context("fork"), [multiprocessing.Pipe() for _ in range(2)]
    workers = [
        fork.Process(target=enter_and_leave, args=(page, front, inside, theirs))
        for front, (_, theirs) in enumerate(pipes)
    ]
    for worker in workers:
        worker.start()
    for ours, _ in pipes:
        ours.send("begin")
    ends = [ours.recv() for ours, _ in pipes]
    for worker in workers:
        worker.join()
    assert all(times for times, _ in ends)
    assert sum(met for _, met in ends) == 0
    assert page.in_flight() == InFlight()


def count(metrics: CallMetrics, times: int) -> None:
    for number in range(times):
        metrics.requests.labels("Classify", "OK").inc()
        seconds = SECONDS[number % len(SECONDS)] * (1 + number % 2 / 10)
        metrics.request_seconds.labels("Classify").observe(seconds)
    metrics.requests.labels(METHODS[-1], "INTERNAL").inc()
    metrics.refused.labels("internal").inc()
    metrics.request_seconds.labels(METHODS[-1]).observe(1e9)


def test_the_page_of_several_is_the_one_of_a_process_that_counted_it_all() -> None:
    page, alone = Page.create(2), prometheus.CollectorRegistry()
    own = OwnCallMetrics(alone)
    for front, times in ((0, 40), (1, 3)):
        count(SharedCallMetrics(page, front), times)
        count(own, times)
    page.end(0)
    count(SharedCallMetrics(page, 0), 11)  # the process that takes its place
    count(own, 11)
    page.end(1)
    together = prometheus.CollectorRegistry()
    together.register(SummedCallMetrics(page))
    shown, expected = samples(together), samples(alone)
    assert shown.keys() == expected.keys()
    assert all(math.isclose(shown[series], expected[series]) for series in expected)
    assert [line for line in text(together) if line.startswith("#")] == [
        line for line in text(alone) if line.startswith("#")
    ]


def test_latest_example_of_each_bucket_is_shown_whichever_front_saw_it() -> None:
    page, together = Page.create(2), prometheus.CollectorRegistry()
    together.register(SummedCallMetrics(page))
    one, two = (SharedCallMetrics(page, front).request_seconds.labels("Classify") for front in range(2))
    one.observe(0.003, {"trace_id": "f" * 32, "span_id": "e" * 16})
    two.observe(0.004, {"trace_id": f"{1:032x}", "span_id": f"{2:016x}"})
    one.observe(1e9, {"trace_id": "ab" * 16, "span_id": "cd" * 8})
    two.observe(0.2)
    page.end(1)
    expected = [
        ("0.005", f'span_id="{2:016x}",trace_id="{1:032x}"', 0.004),
        ("+Inf", f'span_id="{"cd" * 8}",trace_id="{"ab" * 16}"', 1e9),
    ]
    shown = examples(together)
    assert [(bound, labels, value) for bound, labels, value, _ in shown] == expected
    assert all(abs(time.time() - seen) < 60 for *_, seen in shown)
    page.exemplars_of(0)[0][:] = memoryview(array("d", [0.0] * len(page.exemplars_of(0)[0])))  # half written
    assert [bound for bound, *_ in examples(together)] == ["0.005"]


def examples(registry: prometheus.CollectorRegistry) -> list[tuple[str, str, float, float]]:
    """Of each series that has one: its bound, what names the trace, seconds, and when it was seen."""
    page = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
    lines = page.decode().splitlines()
    found = [
        re.fullmatch(r'.*le="(.*?)".*} \S+ # {(.*)} (\S+) (\S+)', line) for line in lines if " # " in line
    ]
    return [(one[1], one[2], float(one[3]), float(one[4])) for one in found if one]


def samples(registry: prometheus.CollectorRegistry) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text(registry) if not line.startswith("#")]
    return {series: float(value) for series, value in lines}


def text(registry: prometheus.CollectorRegistry) -> list[str]:
    return generate_latest(registry).decode().splitlines()


def test_a_page_that_is_opened_again_is_the_same() -> None:
    page = Page.create(2)
    again = Page(os.dup(page.descriptor), 2)
    page.retry_after_s = 2.5
    assert again.retry_after_s == 2.5
