"""A rank that comes back is told apart from one whose number another process has."""

import time
from collections.abc import Iterator
from threading import Event

import pytest
from torch.distributed import HashStore  # type: ignore[attr-defined]

from fovea import daemons
from fovea.errors import Unavailable
from trainer.ranks import joining, outcome, roll
from trainer.ranks.asked import Asked
from trainer.ranks.board import Board
from trainer.ranks.group import Share
from trainer.ranks.joining import Invitation
from trainer.ranks.roll import call_the_roll
from trainer.ranks.watch import watching

FIRST, SECOND = Share(0, 2), Share(1, 2)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll, "GONE_AFTER_S", 0.2)
    monkeypatch.setattr(roll, "BETWEEN_TRIES_S", 0.01)
    monkeypatch.setattr(joining, "BETWEEN_TRIES_S", 0.01)


@pytest.fixture
def store() -> Asked:
    return Asked(HashStore(), patience_s=10)


def _call(store: Asked, share: Share, within_s: float = 10, may_return: bool = True) -> None:
    call_the_roll(store, share, time.monotonic() + within_s, within_s, may_return)


@pytest.fixture
def first(store: Asked) -> Iterator[None]:
    """The first rank, which waits for the others."""
    met = daemons.begin(lambda: _call(store, FIRST))
    yield
    met.result(10)


def test_rank_that_dies_before_all_have_met_is_replaced_by_the_one_that_comes_back(
    store: Asked, first: None
) -> None:
    """Also where the first one has gone on, and waits for it."""
    store.add("here/1", 1)
    _call(store, SECOND)
    assert outcome.told(store) is None


def test_two_processes_of_one_number_are_refused(store: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the other waits for the first rank, and where it is at work."""
    at_work = daemons.begin(lambda: _call(store, SECOND))
    while not store.check(["here/1"]):
        time.sleep(0.01)
    with pytest.raises(Unavailable, match="RANK 1 is here already"):
        _call(store, SECOND)
    _call(store, FIRST)
    at_work.result(10)
    monkeypatch.setattr(roll, "GONE_AFTER_S", 5)  # at work, it tells every second that it lives
    with watching(store, SECOND, 10), pytest.raises(Unavailable, match="RANK 1 is here already"):
        _call(store, SECOND)
    assert outcome.told(store) is None


def test_rank_that_comes_back_to_those_it_had_met_tells_them_and_waits_for_another_first_rank(
    store: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    for share in (FIRST, SECOND):
        store.add(f"here/{share.rank}", 1)
        store.add(f"met/{share.rank}", 1)
    old, new = store.store, HashStore()
    new.add("here/0", 1)
    stores = iter([old, new])
    monkeypatch.setattr(joining, "_resolve", lambda *_: None)
    monkeypatch.setattr(joining, "_wait_for_listener", lambda *_: None)
    monkeypatch.setattr(joining, "_find_store", lambda *_: next(stores))
    gone = Event()
    check = Asked.check

    def until_gone(asked: Asked, names: list[str]) -> bool:
        if gone.is_set() and asked.store is old:
            raise RuntimeError("Connection reset by peer")
        return check(asked, names)

    monkeypatch.setattr(Asked, "check", until_gone)
    invited = Invitation(SECOND, 0, 1, 1, "train-0.train", 29500, "0", by_agent=False)
    returned = daemons.begin(lambda: joining._meet(invited, 10))
    ended = Board(store, FIRST, is_host=True).wait_for_end()
    assert (ended.rank, int(ended.exit_code)) == (1, 69)
    assert "rank 1 was started anew, so the one before has gone" in ended.reason
    assert not returned.done()
    gone.set()
    board = returned.result(10)
    assert (board.store.store, board.share) == (new, SECOND)


def test_rank_waits_no_longer_than_it_is_told_for_the_end_of_those_that_it_had_met(store: Asked) -> None:
    for name in ("here/1", "met/1"):
        store.add(name, 1)
    with pytest.raises(
        Unavailable, match="RANK 1 was here before, and the ranks of then are not gone after 1 s"
    ):
        _call(store, SECOND, within_s=1)


def test_under_torchrun_no_rank_comes_back_by_itself(store: Asked) -> None:
    store.add("here/1", 1)
    with pytest.raises(Unavailable, match="RANK 1 is here already"):
        _call(store, SECOND, may_return=False)
