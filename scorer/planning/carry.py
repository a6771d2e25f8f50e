"""Which rows of an earlier run still hold: they are carried forward, and their images are not read again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fovea.stores.folder import Entry
from scorer.files.manifest import PlannedImage, RowPlace, key_bytes
from scorer.files.plan import RunSpec
from scorer.planning.earlier import EarlierRow


@dataclass(frozen=True)
class Rule:
    """What a row must be for it to be what scoring its image again would give."""

    statuses: frozenset[str]
    max_image_bytes: int

    @classmethod
    def between(cls, earlier: RunSpec, now: RunSpec) -> "Rule":
        """Of two runs with the same source, model and top_k; their limits may differ.

        What could not be read or was not there may be by now, so such rows never hold. What is undecodable
        may have been taken for an image by other globs alone.
        """
        limits_before = (earlier.max_image_bytes, earlier.max_image_pixels)
        if earlier.include == now.include and limits_before == (now.max_image_bytes, now.max_image_pixels):
            statuses = {"ok", "undecodable", "too_large"}
        elif earlier.max_image_pixels <= now.max_image_pixels:
            statuses = {"ok"}
        else:
            statuses = set()
        return cls(frozenset(statuses), now.max_image_bytes)

    def holds(self, row: EarlierRow, entry: Entry) -> bool:
        # Some stores give no etag; then nothing says that the image is still the same.
        if not entry.etag or row.etag != entry.etag or row.status not in self.statuses:
            return False
        return row.status != "ok" or entry.size <= self.max_image_bytes


def carry_forward(
    entries: Iterable[Entry], earlier: Iterable[EarlierRow], rule: Rule
) -> Iterator[PlannedImage]:
    """Every entry, with the earlier row of its key if that holds. Both must come sorted by key."""
    rows = iter(earlier)
    row = next(rows, None)
    for entry in entries:
        key = key_bytes(entry.key)
        while row is not None and row.key < key:
            row = next(rows, None)
        holds = row is not None and row.key == key and rule.holds(row, entry)
        yield PlannedImage(entry, RowPlace(row.path, row.row) if row is not None and holds else None)
