"""Who is here: ranks wait until all have come. A number that was here before is another process's, or that of
one that has gone and was started anew, as an Indexed Job of Kubernetes does it."""

import time
from typing import Final

from fovea import foreground
from fovea.errors import Unavailable
from trainer.ranks import outcome
from trainer.ranks.asked import Asked
from trainer.ranks.group import Share
from trainer.ranks.watch import beat, beats

BETWEEN_TRIES_S: Final = 0.2
GONE_AFTER_S: Final = 10.0
"""A rank that lives tells so about every second."""


def call_the_roll(
    store: Asked, share: Share, until: float, patience_s: float, may_return: bool = True
) -> None:
    """Comes back when all have come. One that is missing is named.

    `may_return` says whether a rank may be started anew by itself. Raises Unavailable at `until`, and where
    the number is another's; RuntimeError where the first one has gone, to whose place another may come.
    """
    if store.add(f"here/{share.rank}", 1) > 1:
        _return(store, share.rank, until, patience_s, may_return)
    waiting = [rank for rank in range(share.world) if rank != share.rank]
    while waiting := [rank for rank in waiting if not store.check([f"here/{rank}"])]:
        if time.monotonic() >= until:
            said = f"{share.world - len(waiting)} of {share.world} ranks are here"
            raise Unavailable(f"{said} after {patience_s:g} s; missing is rank {waiting[0]}")
        beat(store, share.rank)
        foreground.sleep(BETWEEN_TRIES_S)
    if store.add(_met(share.rank), 1) > 1:
        raise _taken(share.rank)


def _return(store: Asked, rank: int, until: float, patience_s: float, may_return: bool) -> None:
    """Takes the place of one that has gone before it met the others; else waits for the end of all of them,
    who have lost one, whether they know it or not."""
    if not may_return or _lives(store, rank, until):
        raise _taken(rank)
    if store.add(_met(rank), 0) == 0:
        return
    # Ranks that compute nothing together would find it out as late as this one would give up.
    outcome.tell(store, rank, outcome.RankReturned(rank))
    while time.monotonic() < until:
        store.check([outcome.KEY])  # raises as the first one ends
        foreground.sleep(BETWEEN_TRIES_S)
    raise Unavailable(
        f"RANK {rank} was here before, and the ranks of then are not gone after {patience_s:g} s"
    )


def _lives(store: Asked, rank: int, until: float) -> bool:
    """Whether the one that was here before does. Not to know it in time is as if it did."""
    before, enough = beats(store, rank), time.monotonic() + GONE_AFTER_S
    while beats(store, rank) == before:
        if time.monotonic() >= enough:
            return False
        if time.monotonic() >= until:
            break
        foreground.sleep(BETWEEN_TRIES_S)
    return True


def _taken(rank: int) -> Unavailable:
    return Unavailable(f"RANK {rank} is here already: each process needs a number of its own")


def _met(rank: int) -> str:
    """Where it is counted who has left the roll with this number."""
    return f"met/{rank}"
