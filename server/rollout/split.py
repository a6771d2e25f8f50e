"""Which calls go to the version beside the current one: a share of them, by a hash of their keys."""

import hashlib
import random
from typing import Final

_PLACES: Final = 2**64


class Split:
    """Of one model. The same key goes the same way, in every server, as long as version and share are the
    same; a larger share takes further keys, and loses none."""

    def __init__(self, model: str, version: int, percent: float) -> None:
        """Of another version, others are the first keys that it takes."""
        self.percent = percent
        self._below = round(_PLACES * percent / 100)
        self._of = f"{model}/{version}/".encode()

    def takes(self, key: str) -> bool:
        """Of calls without a key, this share is drawn."""
        return (self._place(key) if key else random.getrandbits(64)) < self._below

    def _place(self, key: str) -> int:
        """From 0 to below 2^64, as evenly as if drawn; SHA-256, so that others can do the same."""
        digest = hashlib.sha256(self._of + key.encode(errors="backslashreplace")).digest()
        return int.from_bytes(digest[:8])
