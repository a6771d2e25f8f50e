"""What the log tells of something that takes long."""

import itertools
import logging

import pytest

from fovea.progress import logged


def test_a_line_every_thirty_seconds_says_how_far_it_is(caplog: pytest.LogCaptureFixture) -> None:
    ticks = itertools.count(0, 10)  # the clock is read at the start and after each item
    with caplog.at_level(logging.INFO):
        list(logged(range(15), "range test", 15, clock=lambda: next(ticks)))
    assert caplog.messages == [f"range test: {done} of 15" for done in (3, 6, 9, 12, 15)]


def test_what_is_soon_over_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(logged("ab", "reading", 2, clock=lambda: 0.0)) == ["a", "b"]
    assert caplog.messages == []


def test_where_the_end_is_not_known_the_count_is_told(caplog: pytest.LogCaptureFixture) -> None:
    ticks = itertools.count(0, 20)
    with caplog.at_level(logging.INFO):
        assert sum(logged(range(5000), "planning", every=1000, clock=lambda: next(ticks))) == 12_497_500
    assert caplog.messages == ["planning: 2000", "planning: 4000"]
