"""While ranks are at work by themselves, as when one decodes or releases, they hear of each other's end."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Final

from fovea import daemons
from trainer.ranks import outcome
from trainer.ranks.asked import Asked
from trainer.ranks.group import Share

BEAT_S: Final = 1.0


@contextmanager
def watching(store: Asked, share: Share, patience_s: float) -> Iterator[None]:
    """Inside, a thread tells that this rank lives, and ends the process, as SIGTERM would, when another has
    ended, or has not told for `patience_s`.

    What the main thread waits for may be long in coming, and no connection of its own need break.
    """
    stopped = Event()
    watcher = daemons.start(_watch, store.clone(), share, patience_s, stopped)
    try:
        yield
    finally:
        stopped.set()
        watcher.join()


def beat(store: Asked, rank: int) -> None:
    """Tells that the rank lives."""
    store.add(_beat_of(rank), 1)


def beats(store: Asked, rank: int) -> int:
    """How often that was told."""
    return store.add(_beat_of(rank), 0)


def _beat_of(rank: int) -> str:
    return f"beat/{rank}"


def _watch(store: Asked, share: Share, patience_s: float, stopped: Event) -> None:
    # Each watches the first, and the first all: what it finds it tells.
    others = [rank for rank in range(share.world) if rank != share.rank] if share.rank == 0 else [0]
    beats = {rank: _Beats(0, time.monotonic()) for rank in others}
    while not stopped.wait(BEAT_S):
        try:
            beat(store, share.rank)
            if outcome.told(store) is not None:
                break
            if silent := [rank for rank in others if not beats[rank].goes_on(store, rank, patience_s)]:
                outcome.tell(store, share.rank, outcome.RankSilent(silent[0]))
                break
        except RuntimeError as error:
            if not outcome.is_of_a_peer(error):
                raise
            break  # whoever had the store has gone
    if not stopped.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


class _Beats:
    """What was heard of a rank last."""

    def __init__(self, count: int, at: float) -> None:
        self._count = count
        self._at = at

    def goes_on(self, store: Asked, rank: int, patience_s: float) -> bool:
        count = beats(store, rank)
        if count != self._count:
            self._count, self._at = count, time.monotonic()
        return time.monotonic() - self._at <= patience_s
