"""The store, asked so that nobody waits for ever: where its host hangs, a call to it does not come back."""

import time
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from torch.distributed import Store  # type: ignore[attr-defined]

from fovea import daemons

T = TypeVar("T")

HEARD_WITHIN_S: Final = 0.5


@dataclass(frozen=True)
class Asked:
    """torch's store as ranks use it. Once it is lost it is asked no more, by clones neither.

    A call raises RuntimeError where the host is gone, or has not answered for `patience_s`. A signal's
    handler runs while the main thread waits.
    """

    store: Store
    patience_s: float
    _lost: list[RuntimeError] = field(default_factory=list)

    @property
    def lost(self) -> RuntimeError | None:
        """What showed that nobody has the store any more."""
        return self._lost[0] if self._lost else None

    def clone(self) -> "Asked":
        """With a connection of its own, for another thread."""
        return replace(self, store=self.store.clone())

    def check(self, names: list[str]) -> bool:
        """Whether something is left under all of them."""
        return self._answer(lambda: bool(self.store.check(names)))

    def get(self, name: str) -> str:
        """What is left there, which `check` has seen."""
        return self._answer(lambda: str(self.store.get(name).decode()))

    def set(self, name: str, text: str) -> None:
        self._answer(lambda: self.store.set(name, text))

    def add(self, name: str, amount: int) -> int:
        """The sum."""
        return self._answer(lambda: int(self.store.add(name, amount)))

    def compare_set(self, name: str, expected: str, text: str) -> str:
        """What is there then: `text` where what was there is as expected."""
        return self._answer(lambda: str(self.store.compare_set(name, expected, text).decode()))

    def _answer(self, call: Callable[[], T]) -> T:
        if self.lost is not None:
            raise self.lost
        answer, until = daemons.begin(call), time.monotonic() + self.patience_s
        while not answer.done():
            if self.lost is None and time.monotonic() >= until:
                self._lost.append(RuntimeError("whoever has the store of ranks timed out"))
            if self.lost is not None:  # another thread may have found it so
                raise self.lost
            wait([answer], HEARD_WITHIN_S)
        try:
            return answer.result()
        except RuntimeError as error:
            self._lost.append(error)
            raise
