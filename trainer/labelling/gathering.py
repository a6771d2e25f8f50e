"""The images to label, out of all that were captured: read once, and no more of them kept than are shown."""

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from fovea.capture.rows import Captured
from fovea.errors import DataInvalid, ImageInvalid
from fovea.ordered import Window, ordered_map
from fovea.stopping import raise_lost
from trainer.labelling.pictures import Picture, picture_of
from trainer.labelling.ranking import EVERY, Told, interleave

T = TypeVar("T")
AHEAD_BYTES: Final = 256 * 1024 * 1024
"""Of images that wait to be decoded."""
_DIGEST: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Candidate:
    """An image to label."""

    row: Captured
    """its latest answer, without the bytes"""
    told: Told
    picture: Picture
    drawn: bool = False
    """whether it is here by chance, whatever its answers were: a fair sample of what was captured so"""


@dataclass
class Gathered:
    """What is shown, and what is not."""

    images: list[Candidate] = field(default_factory=list)
    """in the order in which they are to be labelled"""
    found: int = 0
    """images, each counted once, that could be labelled"""
    bad: dict[str, str] = field(default_factory=dict)
    """those that cannot be decoded: sha256 -> why"""
    without_bytes: int = 0
    """answers whose image was not kept"""
    labelled_before: int = 0
    """answers about images that have a label"""
    other_models: Counter[str] = field(default_factory=Counter)
    """answers of other models, by their names"""


class Best(Generic[T]):
    """Those of the highest keys, as many as are wanted. A key may rise, and never falls."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, tuple[float, T]] = {}
        self._heap: list[tuple[float, str]] = []
        """The lowest first; with entries whose key has risen since, too."""

    def get(self, name: str) -> T | None:
        return self._kept[name][1] if name in self._kept else None

    def would_keep(self, name: str, key: float) -> bool:
        if name in self._kept or len(self._kept) < self._most:
            return True
        return bool(self._heap) and key > self._heap[0][0]

    def offer(self, name: str, key: float, item: T) -> None:
        if not self.would_keep(name, key):
            return
        has_it = self._holds(key, name)
        self._kept[name] = (key, item)
        if not has_it:  # or an image that is answered again and again would fill it
            heapq.heappush(self._heap, (key, name))
        while self._heap and (len(self._kept) > self._most or not self._holds(*self._heap[0])):
            lowest = heapq.heappop(self._heap)
            if self._holds(*lowest):
                del self._kept[lowest[1]]

    def names(self) -> list[str]:
        """The highest first."""
        return sorted(self._kept, key=lambda name: (-self._kept[name][0], name))

    def _holds(self, key: float, name: str) -> bool:
        return name in self._kept and self._kept[name][0] == key


class Gathering:
    """Answers of one model, put together by image."""

    def __init__(self, model: str, done: Container[str], limit: int) -> None:
        self._model, self._done = model, done
        self._told: dict[bytes, Told] = {}
        """Of every image, by its digest."""
        self._best: Best[Candidate] = Best(limit)
        self._drawn: Best[Candidate] = Best(limit // EVERY)
        self._limit = limit
        self._gathered = Gathered()

    def gather(self, rows: Iterable[Captured], threads: int) -> Gathered:
        """Raises what reading the rows does, and DataInvalid for a digest that is none."""
        window = Window(4 * threads, AHEAD_BYTES)
        wanted = self._worth_a_look(rows)
        for row, picture in ordered_map(_with_picture, wanted, threads, window, _size_bytes):
            if isinstance(picture, str):
                self._gathered.bad[row.sha256] = picture
            else:
                self._keep(row, picture)
        drawn = self._drawn.names()
        names = interleave(self._best.names(), drawn)[: self._limit]
        kept = [each for each in map(self._kept, names) if each is not None]
        self._gathered.images = [replace(each, drawn=each.row.sha256 in drawn) for each in kept]
        self._gathered.found = len(self._told) - len(self._gathered.bad)
        return self._gathered

    def _worth_a_look(self, rows: Iterable[Captured]) -> Iterator[Captured]:
        """Those whose image is to be decoded: of what is among the best so far, and has no picture yet."""
        for row in rows:
            raise_lost()
            if self._is_left_out(row):
                continue
            told = self._add(row)
            known = self._kept(row.sha256)
            if known is not None:
                self._keep(row, known.picture)
            elif self._best.would_keep(row.sha256, told.score) or self._would_draw(row.sha256, told):
                yield row

    def _is_left_out(self, row: Captured) -> bool:
        if not _DIGEST.fullmatch(row.sha256):
            raise DataInvalid(f"a capture's sha256 is none: {row.sha256[:80]!r}")
        if row.model_name != self._model:
            self._gathered.other_models[row.model_name] += 1
        elif row.sha256 in self._done:
            self._gathered.labelled_before += 1
        elif row.image is None:
            self._gathered.without_bytes += 1
        else:
            return row.sha256 in self._gathered.bad
        return True

    def _add(self, row: Captured) -> Told:
        digest, told = bytes.fromhex(row.sha256), Told.of(row)
        before = self._told.get(digest)
        self._told[digest] = told if before is None else before.and_(told)
        return self._told[digest]

    def _kept(self, sha256: str) -> Candidate | None:
        return self._best.get(sha256) or self._drawn.get(sha256)

    def _would_draw(self, sha256: str, told: Told) -> bool:
        return told.uniform and self._drawn.would_keep(sha256, _draw(sha256))

    def _keep(self, row: Captured, picture: Picture) -> None:
        told = self._told[bytes.fromhex(row.sha256)]
        known = self._kept(row.sha256)  # perhaps since this one was waiting to be decoded
        latest = max(row, known.row, key=lambda each: each.answered_at) if known else row
        candidate = Candidate(replace(latest, image=None), told, picture)
        self._best.offer(row.sha256, told.score, candidate)
        if told.uniform:
            self._drawn.offer(row.sha256, _draw(row.sha256), candidate)


def _draw(sha256: str) -> float:
    """As good as by chance, and the same each time."""
    return int(sha256[:13], 16)


def _size_bytes(row: Captured) -> int:
    return len(row.image or b"")


def _with_picture(row: Captured) -> tuple[Captured, Picture | str]:
    """Or why there is none."""
    data = bytes(row.image or b"")
    if hashlib.sha256(data).hexdigest() != row.sha256:
        return row, "its bytes have another sha256"
    try:
        return row, picture_of(data)
    except ImageInvalid as error:
        return row, str(error)
