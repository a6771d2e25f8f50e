"""What became of each image since the last run: two runs sorted by key are joined as they stream by."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from scorer.committing.multi_label import is_multi_label, set_texts, shown, sureness, turns
from scorer.files.summary import ChangedLabel, Changes, ImageChanges, LabelChanges, LabelPair

EXAMPLES: Final = 100
PAIRS: Final = 20

IMAGE: Final = ("key", "etag")
SORT_KEY: Final = "sort_key"

_EXAMPLE: Final = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("from", pa.string()),
        pa.field("to", pa.string()),
        pa.field("from_probability", pa.float32()),
        pa.field("to_probability", pa.float32()),
        pa.field("image_replaced", pa.bool_()),
        pa.field("etag", pa.string()),
        pa.field(SORT_KEY, pa.binary()),
    ]
)

_WRITTEN: Final = _EXAMPLE.names[:6]
"""What is written of an example."""

_NONE: Final = pa.table({SORT_KEY: pa.array([], pa.binary())})


@dataclass(frozen=True)
class ChangedImage:
    """An image whose label changed."""

    key: str
    """As the store knows it."""
    etag: str
    """As this run saw it."""


def block_of(keys: pa.BinaryArray, rows: pa.Table) -> pa.Table:
    """What `ChangeCounter` needs of a run's rows; `keys` are the rows' keys as bytes, ascending.

    Of a multi-label model the label is the set of them, as text, and the probability `sureness`.
    """
    columns = {name: rows[name] for name in IMAGE}
    if is_multi_label(rows.column_names):
        answer = {"label": set_texts(rows), "probability": sureness(rows)}
    else:
        answer = {"label": rows["label"].cast(pa.string()), "probability": rows["probability"]}
    return pa.table({**columns, **answer, SORT_KEY: keys}).combine_chunks()


class ChangeCounter:
    """Counts what changed from the last run to this one, with a block of either in memory at a time.

    A label can change because the image did, or because another model thinks otherwise of the same image:
    the etag tells these apart.
    """

    def __init__(self, last: Iterator[pa.Table], *, is_multi_label: bool = False) -> None:
        """`last` are the last run's blocks, from `block_of`, ascending over all of them."""
        self._last = last
        self._is_multi_label = is_multi_label
        self._old: pa.Table | None = _NONE  # until rows come that the first block is compared with
        self.counts = dict.fromkeys(("in_both", "new", "vanished", "image_replaced"), 0)
        self.labels = dict.fromkeys(("image_changed", "model_changed", "lost", "gained"), 0)
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._examples = _EXAMPLE.empty_table()

    def add(self, new: pa.Table) -> None:
        """The next block of this run."""
        while new.num_rows:
            self._skip_empty()
            if self._old is None:
                self.counts["new"] += new.num_rows
                return
            limit = min(new[SORT_KEY][-1].as_py(), self._old[SORT_KEY][-1].as_py())
            ours, new = _cut(new, limit)
            theirs, self._old = _cut(self._old, limit)
            self._join(ours, theirs)

    def finish(self) -> None:
        """This run has no more rows: what is left of the last one has vanished."""
        while self._old is not None:
            self.counts["vanished"] += self._old.num_rows
            self._old = next(self._last, None)

    def result(self) -> Changes:
        pairs = sorted(self._pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:PAIRS]
        changed = self.labels["image_changed"] + self.labels["model_changed"]
        name = shown if self._is_multi_label else str
        examples = self._examples.select(_WRITTEN).to_pylist()
        named = (each | {end: name(each[end]) for end in ("from", "to")} for each in examples)
        return Changes(
            images=ImageChanges(**self.counts),
            labels=LabelChanges(**self.labels, changed=changed),
            pairs=tuple(
                LabelPair(from_label=name(old), to_label=name(new), images=n) for (old, new), n in pairs
            ),
            examples=tuple(map(ChangedLabel.model_validate, named)),
            by_label=turns(self._pairs) if self._is_multi_label else None,
        )

    def surest(self) -> list[ChangedImage]:
        """The examples' images, in their order."""
        names = (key.decode("utf-8", "surrogateescape") for key in self._examples[SORT_KEY].to_pylist())
        return list(map(ChangedImage, names, self._examples["etag"].to_pylist()))

    def _skip_empty(self) -> None:
        while self._old is not None and not self._old.num_rows:
            self._old = next(self._last, None)

    def _join(self, new: pa.Table, old: pa.Table) -> None:
        """Of two blocks that reach equally far."""
        place = pc.index_in(new[SORT_KEY], value_set=old[SORT_KEY])
        ours, theirs = new.filter(place.is_valid()), old.take(place.drop_null())
        both = ours.num_rows
        replaced = pc.not_equal(ours["etag"], theirs["etag"])
        labelled_before, labelled = theirs["label"].is_valid(), ours["label"].is_valid()
        changed = pc.fill_null(pc.not_equal(ours["label"], theirs["label"]), False)
        _add(self.counts, in_both=both, new=new.num_rows - both, vanished=old.num_rows - both)
        _add(self.counts, image_replaced=_count(replaced))
        _add(self.labels, lost=_count(pc.and_not(labelled_before, labelled)))
        _add(self.labels, gained=_count(pc.and_not(labelled, labelled_before)))
        _add(self.labels, image_changed=_count(pc.and_(changed, replaced)))
        _add(self.labels, model_changed=_count(pc.and_not(changed, replaced)))
        self._record(_side_by_side(ours, theirs, replaced).filter(changed))

    def _record(self, changed: pa.Table) -> None:
        for pair in changed.group_by(["from", "to"]).aggregate([([], "count_all")]).to_pylist():
            self._pairs[pair["from"], pair["to"]] += pair["count_all"]
        self._examples = _surest(pa.concat_tables([self._examples, changed])).combine_chunks()


def _cut(block: pa.Table, limit: bytes) -> tuple[pa.Table, pa.Table]:
    """The rows up to this key, and the others."""
    keys = block[SORT_KEY]
    rows = bisect_right(range(len(keys)), limit, key=lambda place: keys[place].as_py())
    return block.slice(0, rows), block.slice(rows)


def _side_by_side(new: pa.Table, old: pa.Table, replaced: pa.ChunkedArray) -> pa.Table:
    columns = {"key": new["key"], "from": old["label"], "to": new["label"]}
    probabilities = {"from_probability": old["probability"], "to_probability": new["probability"]}
    image = {"image_replaced": replaced, "etag": new["etag"], SORT_KEY: new[SORT_KEY]}
    return pa.table({**columns, **probabilities, **image}, _EXAMPLE)


def _surest(changed: pa.Table) -> pa.Table:
    """Those of which both runs were the surest, best first: an unsure answer flips easily."""
    sure = pc.min_element_wise(changed["from_probability"], changed["to_probability"])
    order = [("sure", "descending"), ("key", "ascending")]
    best = pc.select_k_unstable(changed.append_column("sure", sure), k=EXAMPLES, sort_keys=order)
    return changed.take(best)


def _add(counts: dict[str, int], **more: int) -> None:
    for name, count in more.items():
        counts[name] += count


def _count(flags: pa.ChunkedArray) -> int:
    return pc.sum(flags).as_py() or 0
