import random
from collections.abc import Callable

import pytest

from fovea.errors import ImageInvalid
from server.errors import ComputeFailed, DeadlinePassed, FieldInvalid, NoModelReady, QueueFull
from server.rollout.guard import Bounds, Guard, Removal, why_out
from server.rollout.measured import LATENCIES, Measured, Window, match_times
from server.telemetry.metrics import Metrics
from tests.server.event_loop import in_event_loop

BOUNDS = Bounds(min_images=100, max_errors=0.01, max_slowdown=2.0, max_disagreement=0.1, max_shift=0.25)


def window(
    answers: int,
    errors: int = 0,
    slower: float = 1.0,
    queue: float = 1.0,
    cats: float = 0.5,
    abstained: float = 0.0,
) -> Window:
    """Of cats and dogs, whose answers take from 10 to 20 ms."""
    draw = random.Random(answers)
    idle = round(answers * abstained)
    labels = {"cat": round((answers - idle) * cats), "dog": round((answers - idle) * (1 - cats))}
    seconds = [slower * queue * draw.uniform(0.01, 0.02) for _ in range(answers)]
    work_s = {4: [slower * draw.uniform(0.005, 0.01) for _ in range(answers)], 1: [9.0] * (answers // 100)}
    return Window(answers, errors, labels, idle, seconds, work_s)


def reason(canary: Window, current: Window) -> str:
    removal = why_out(canary, current, BOUNDS)
    return removal.reason if removal else ""


CURRENT = window(2000)


@pytest.mark.parametrize(
    ("canary", "expected"),
    [
        (window(200), ""),
        (window(200, slower=1.9), ""),
        (window(200, slower=3.0), "latency"),
        (window(200, queue=30.0), ""),
        (window(99, slower=30.0), ""),
        (window(0, errors=19), ""),
        (window(0, errors=20), "errors"),
        (window(200, errors=2), ""),
        (window(200, errors=20), "errors"),
        (window(200, cats=0.65), ""),
        (window(200, cats=0.9), "answers"),
        (window(200, abstained=0.4), "answers"),
    ],
)
def test_canary_is_taken_out_by_what_is_worse_for_sure(canary: Window, expected: str) -> None:
    assert reason(canary, CURRENT) == expected


def multi(answers: int, **labels: int) -> Window:
    """Of a multi-label version: how many images have each label."""
    made = window(answers)
    made.labels, made.is_multi_label = labels, True
    return made


def test_multi_label_canary_is_taken_out_by_the_label_whose_rate_is_furthest_off() -> None:
    current = multi(2000, cat=1000, dog=200, emu=40)
    assert reason(multi(200, cat=100, dog=20, emu=4), current) == ""
    assert reason(multi(200, cat=20, dog=2, emu=0), current) == "answers", "all of them rarer alike"
    assert reason(multi(200, cat=100, dog=120, emu=4), current) == "answers"
    assert reason(multi(200, cat=100, dog=20, emu=12), current) == "", "by chance"
    assert reason(multi(200), multi(2000)) == ""


def test_answers_are_counted_by_each_label_that_is_selected() -> None:
    measured = Measured(("cat", "dog"), Metrics().of_model("pets").of_version(2))
    for chosen in ([0, 1], [1], []):
        measured.answered(0, False, 1, 0.0, 0.0, 0.01, chosen)
    assert (measured.window.labels, measured.window.is_multi_label) == ({"cat": 1, "dog": 2}, True)
    measured.begin_window()
    measured.answered(0, False, 1, 0.0, 0.0, 0.01)
    assert (measured.window.labels, measured.window.is_multi_label) == ({"cat": 1}, False)


def test_errors_that_both_versions_have_are_not_the_canarys() -> None:
    assert reason(window(180, errors=20), window(1800, errors=200)) == ""
    assert reason(window(180, errors=20), window(0)) == "", "the current one may fail as often"
    assert reason(window(180, errors=20), window(45, errors=5)) == ""
    assert reason(window(0, errors=20), window(20)) == "errors"


def test_canary_that_answers_all_calls_is_taken_out_by_its_errors_alone() -> None:
    for current, expected in ((window(0), "errors"), (window(1800, errors=200), "")):
        removal = why_out(window(180, errors=20), current, BOUNDS, is_alone=True)
        assert (removal.reason if removal else "") == expected
    assert why_out(window(200, cats=0.9), CURRENT, BOUNDS, is_alone=True) is None, "of another time"


def test_disagreement_counts_where_images_were_compared() -> None:
    canary = window(200)
    canary.compared, canary.disagreed = 100, 50
    assert reason(canary, CURRENT) == "disagreement"
    canary.disagreed = 12
    assert reason(canary, CURRENT) == ""


def test_removal_tells_what_was_compared() -> None:
    assert why_out(window(180, errors=20), CURRENT, BOUNDS) == Removal("errors", 0.1, 0.0, 0.01, 200, 2000)
    compared = window(200)
    compared.compared, compared.disagreed = 100, 50
    told = Removal("disagreement", 0.5, 0.0, 0.1, 100, 2000)
    assert why_out(compared, CURRENT, BOUNDS) == told, "of the images that both have seen"
    shifted = why_out(window(200, cats=0.9), CURRENT, BOUNDS)
    assert shifted is not None
    assert shifted.canary == pytest.approx(0.85, abs=0.05)
    assert shifted[2:] == (0.0, 0.25, 200, 2000)


def test_two_versions_that_are_alike_are_not_told_apart_by_chance() -> None:
    draw = random.Random(3)
    for _ in range(300):
        canary, current = (
            Window(
                answers=count,
                errors=sum(draw.random() < 0.02 for _ in range(count)),
                labels={f"class-{draw.randrange(20)}": 1 for _ in range(count)} | {"cat": count - 20},
                seconds=[draw.lognormvariate(-4, 1) for _ in range(count)],
            )
            for count in (100, 400)
        )
        assert reason(canary, current) == ""


def test_a_window_that_is_long_enough_gives_way_to_a_new_one_of_both_versions() -> None:
    guard, canary, current = guarded()
    for _ in range(1000):
        canary.answered(0, False, 1, 0.01, 0.0, 0.01)
        current.answered(0, False, 1, 0.01, 0.0, 0.01)
    assert guard.look() is None
    assert (canary.window, current.window) == (Window(), Window())
    for _ in range(30):
        canary.failed(ZeroDivisionError())
        current.answered(0, False, 1, 0.01, 0.0, 0.01)
    removal = guard.look()
    assert removal is not None
    assert removal.reason == "errors"


@pytest.mark.parametrize("percent", [95, 99])
@pytest.mark.parametrize(("worse", "slower", "best"), [("latency", 10, 0), ("answers", 1, 1), ("", 1, 0)])
def test_canary_that_has_nearly_all_calls_is_compared_when_the_current_version_has_enough(
    percent: int, worse: str, slower: float, best: int
) -> None:
    guard, canary, current = guarded()
    draw, removal = random.Random(percent), None
    for number in range(100 * 200 * 2):
        took = draw.uniform(0.01, 0.02)
        if draw.random() * 100 < percent:
            canary.answered(best, False, 1, 0.0, 0.0, slower * took)
        else:
            current.answered(0, False, 1, 0.0, 0.0, took)
        if number % 500 == 0 and (removal := guard.look()):
            break
    assert (removal.reason if removal else "") == worse


def test_what_is_known_of_the_current_version_stays_while_it_gets_no_calls() -> None:
    percents = [50.0]
    guard, canary, current = guarded(lambda: percents[-1])
    for _ in range(2):
        for number in range(1200):
            for each in (canary, current) if percents[-1] < 100 else (canary,):
                if number % 10:
                    each.answered(0, False, 1, 0.0, 0.0, 0.01)
                else:
                    each.failed(ZeroDivisionError())
        if percents[-1] < 100:
            guard.look()  # ends the window
            for _ in range(100):
                current.failed(ZeroDivisionError())
                current.answered(0, False, 1, 0.0, 0.0, 0.01)
        percents.append(100.0)
        assert guard.look() is None
    assert (canary.window.images, current.window.images) == (0, 200)
    percents.append(10.0)
    guard.look()
    assert current.window == Window(), "it was of another time"


@pytest.mark.parametrize("percent", [1, 30, 97])
def test_machine_that_slows_slows_both(percent: int) -> None:
    guard, canary, current = guarded()
    draw = random.Random(percent)
    for number in range(45_000):
        took = draw.uniform(0.01, 0.02) * (1 if number < 12_000 else 3)
        (canary if draw.random() * 100 < percent else current).answered(0, False, 1, 0.0, 0.0, took)
        if number % 300 == 0:
            assert guard.look() is None


@pytest.mark.parametrize("percent", [1, 30, 97])
def test_canary_that_slows_is_found(percent: int) -> None:
    guard, canary, current = guarded()
    draw, images, removal = random.Random(percent), 0, None
    while removal is None and images < 70_000:
        images += 1
        took = draw.uniform(0.01, 0.02)
        if draw.random() * 100 < percent:
            canary.answered(0, False, 1, 0.0, 0.0, 5 * took)
        else:
            current.answered(0, False, 1, 0.0, 0.0, took)
        removal = guard.look() if images % 300 == 0 else None
    assert removal is not None
    assert removal.reason == "latency"
    assert min(removal.canary_images, removal.current_images) < 300


def test_times_wait_for_those_of_the_other_version_and_are_bounded() -> None:
    _, canary, current = guarded()
    for number in range(2000):
        current.answered(0, False, 4, 1.0, number, 0.25)
    match_times(canary, current)
    assert not current.window.seconds
    canary.answered(0, False, 1, 1.0, 0.5, 0.25)
    match_times(canary, current)
    assert (canary.window.seconds, canary.window.work_s) == ([1.75], {1: [1.25]})
    assert current.window.work_s == {4: [1.25] * 10}
    assert min(current.window.seconds) > 1000, "the latest"
    for took in range(LATENCIES):
        for each in (canary, current):
            each.answered(0, False, 1, took, 0.0, 0.0)
        match_times(canary, current)
    for each in (canary, current):
        assert LATENCIES / 2 <= len(each.window.seconds) <= LATENCIES
        assert sum(map(len, each.window.work_s.values())) == pytest.approx(len(each.window.seconds), abs=2)
        assert max(each.window.seconds) > 0.99 * LATENCIES > 100 > min(each.window.seconds)


def guarded(percent: Callable[[], float] = lambda: 10.0) -> tuple[Guard, Measured, Measured]:
    """With what it compares: the canary, the current version."""
    metrics = Metrics().of_model("pets")
    canary, current = (Measured(("cat", "dog"), metrics.of_version(version)) for version in (2, 1))
    return Guard(canary, current, BOUNDS, lambda removal: None, percent), canary, current


def test_errors_are_the_servers_faults_alone_and_abstentions_no_labels() -> None:
    metrics = Metrics()
    canary = Measured(("cat", "dog"), metrics.of_model("pets").of_version(2))
    for error in (ImageInvalid("damaged", "half a file"), QueueFull("full", 1.0), FieldInvalid("top_k", "9")):
        canary.failed(error)
    assert canary.window == Window()
    for fault in (ComputeFailed(), DeadlinePassed(), NoModelReady()):
        canary.failed(fault)
    canary.answered(1, False, 4, 1.0, 0.5, 0.25)
    canary.answered(0, True, 1, 2.0, 1.0, 0.5)
    assert canary.window == Window(2, 3, {"dog": 1}, 1)
    shown = {
        name: metrics.registry.get_sample_value(f"fovea_rollout_{name}", {"version": "2"})
        for name in ("answers_total", "errors_total", "abstained_total", "seconds_count")
    }
    assert shown == {"answers_total": 2, "errors_total": 3, "abstained_total": 1, "seconds_count": 2}


@pytest.mark.parametrize(("left_s", "expected"), [(0.005, ""), (0.039, ""), (0.045, "errors")])
def test_deadline_that_the_current_version_would_not_meet_either_is_no_error(
    left_s: float, expected: str
) -> None:
    guard, canary, current = guarded()
    for _ in range(200):
        current.answered(0, False, 1, 0.0, 0.0, 0.02)
    assert guard.look() is None
    for _ in range(100):
        canary.failed(DeadlinePassed("the answer would take long", left_s))
    removal = guard.look()
    assert (removal.reason if removal else "") == expected


def test_calls_of_many_images_that_are_alike_tell_versions_no_further_apart() -> None:
    """An image counts as a draw of its own; those of a call are none."""
    guard, canary, current = guarded()
    draw = random.Random(5)
    for number in range(3000):
        asked = canary if draw.random() < 0.1 else current
        label, is_failed = draw.randrange(2), draw.random() < 0.1
        for place in range(16):
            if is_failed:
                asked.failed(ComputeFailed(), is_more=place > 0)
            else:
                asked.answered(label, False, 16, 0.0, 0.0, 0.01, is_more=place > 0)
        if number % 10 == 0:
            assert guard.look() is None


def test_there_are_series_of_the_two_versions_alone_that_share_the_calls() -> None:
    registry = Metrics()
    metrics = registry.of_model("pets")
    for versions in ((1, 2), (1, 3)):
        metrics.tell_apart(versions)
        for version in versions:
            metrics.of_version(version).answers.inc()
    shown = {
        version: registry.registry.get_sample_value("fovea_rollout_answers_total", {"version": version})
        for version in ("1", "2", "3")
    }
    assert shown == {"1": 2, "2": None, "3": 1}


@in_event_loop
async def test_a_removal_that_fails_is_tried_again_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rollout.guard.LOOK_EVERY_S", 0)
    canary, current = (Measured(("cat",), Metrics().of_model("pets").of_version(2)) for _ in range(2))
    tries: list[Removal] = []

    def take_out(removal: Removal) -> None:
        tries.append(removal)
        if len(tries) == 1:
            raise ZeroDivisionError

    guard = Guard(canary, current, BOUNDS, take_out)
    monkeypatch.setattr(guard, "look", lambda: Removal("errors", 1, 0, 0.01, 20, 100))
    await guard.watch()
    assert len(tries) == 2
