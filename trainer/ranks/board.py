"""Where ranks leave each other word, whatever each is doing: torch's store, which outlives their group."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from fovea import foreground
from fovea.errors import FoveaError
from trainer.ranks import outcome
from trainer.ranks.asked import Asked
from trainer.ranks.group import Share

TOLD_WITHIN_S: Final = 2.0
"""A rank that fails tells why before its connections close; one that is killed never does."""
HEARD_WITHIN_S: Final = 5.0
"""So long the rank that has the store waits, as it ends, for the others to hear of it."""
LONGEST_NAP_S: Final = 0.5


@dataclass
class Board:
    """What this rank reads and leaves. All ranks take its pages in the same order."""

    store: Asked
    share: Share
    is_host: bool
    """whether the store ends with this process"""
    _pages: int = 0

    def page(self) -> str:
        """A name that nothing was left under yet, the same on all ranks."""
        self._pages += 1
        return f"page/{self._pages}"

    def leave(self, name: str, text: str) -> None:
        self.store.set(name, text)

    def wait_for(self, name: str) -> str:
        """What another rank leaves there, however late. Raises what ended that one, if it did before."""
        nap_s = 0.01
        while not self.store.check([name]):
            if ended := outcome.told(self.store):
                raise ended
            foreground.sleep(nap_s)
            nap_s = min(2 * nap_s, LONGEST_NAP_S)
        return self.store.get(name)

    def wait_for_end(self) -> outcome.Followed:
        """The first that any rank comes to."""
        while (ended := outcome.told(self.store)) is None:
            foreground.sleep(LONGEST_NAP_S)
        return ended

    def tell(self, error: BaseException | None) -> outcome.Followed | None:
        """That this rank has ended; gives what another has told before, which ended all."""
        other = None
        with _nobody_is_left():
            other = outcome.tell(self.store, self.share.rank, error)
            self.hear()
        return other

    def hear(self) -> None:
        """This rank knows the end; the one that has the store waits until all do."""
        with _nobody_is_left():
            self.leave(_heard_by(self.share.rank), "")
            if self.is_host:
                self._wait_for_hearers()

    def _wait_for_hearers(self) -> None:
        others = [_heard_by(rank) for rank in range(self.share.world) if rank != self.share.rank]
        until = time.monotonic() + HEARD_WITHIN_S
        while not self.store.check(others) and time.monotonic() < until:
            time.sleep(0.05)

    def end_behind(self, error: BaseException) -> FoveaError:
        """What ended the rank whose end a collective or the store has shown as `error`."""
        until = time.monotonic() + TOLD_WITHIN_S
        with _nobody_is_left():
            while time.monotonic() < until:
                if ended := outcome.told(self.store):
                    self.hear()
                    return ended
                time.sleep(0.05)
        return outcome.of_a_peer(error)


@contextmanager
def _nobody_is_left() -> Iterator[None]:
    """Inside, the store may be away: whoever had it has gone."""
    try:
        yield
    except RuntimeError as error:
        if not outcome.is_of_a_peer(error):
            raise


def _heard_by(rank: int) -> str:
    return f"{outcome.KEY}/heard by/{rank}"
