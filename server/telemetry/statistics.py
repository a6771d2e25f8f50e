"""What one version computed since it went live, as the Open Inference Protocol tells it."""

import time
from dataclasses import dataclass, field


@dataclass
class Tally:
    """How often something happened, and what it took in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds


@dataclass
class CallTallies:
    """Calls to the model under one of its names; all but `fail` are of those that were answered."""

    success: Tally = field(default_factory=Tally)
    fail: Tally = field(default_factory=Tally)
    queue: Tally = field(default_factory=Tally)
    """The longest wait of the call's images."""
    decode: Tally = field(default_factory=Tally)
    """Of all the call's images."""
    compute: Tally = field(default_factory=Tally)
    """The longest of the batches that the call's images were in."""
    answer: Tally = field(default_factory=Tally)
    """Laying out the answer."""
    last_ms: int = 0
    """When the last one came, in milliseconds of Unix time."""

    def begin(self) -> None:
        self.last_ms = int(time.time() * 1000)


class Statistics:
    """Belongs to the event loop that serves."""

    def __init__(self) -> None:
        self.images = 0
        """Computed, whoever asked for them."""
        self.batches: dict[int, Tally] = {}
        """By how many images they had."""
        self._calls: dict[str, CallTallies] = {}

    def calls_to(self, name: str) -> CallTallies:
        """`name` is one of the model's."""
        return self._calls.setdefault(name, CallTallies())

    def count_batch(self, images: int, compute_s: float) -> None:
        self.images += images
        self.batches.setdefault(images, Tally()).add(compute_s)
