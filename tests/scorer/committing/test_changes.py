"""The join of two runs, against the same thing done with dictionaries."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.committing.changes import EXAMPLES, ChangeCounter, ChangedImage, block_of

LABELS = ("cat", "dog", None)


class Row(NamedTuple):
    etag: str
    label: str | None
    probability: float = 0.75


Run = dict[str, Row]

RUNS = st.dictionaries(
    st.text("ab\xe9\uffff\U0001f600", max_size=3),
    st.builds(Row, st.sampled_from("12"), st.sampled_from(LABELS), st.just(0.75)),
    max_size=12,
)


def blocks(run: Run, size: int) -> Iterator[pa.Table]:
    """The run's rows sorted by the bytes of their keys, `size` at a time, and an empty block at the end."""
    keys = sorted(run, key=str.encode)
    for start in range(0, len(keys) + 1, size):
        some = keys[start : start + size]
        columns = {
            "key": some,
            "etag": [run[key].etag for key in some],
            "label": pa.array([run[key].label for key in some], pa.string()).dictionary_encode(),
            "probability": pa.array([run[key].label and run[key].probability for key in some], pa.float32()),
        }
        yield block_of(pa.array([key.encode() for key in some], pa.binary()), pa.table(columns))


def changes(new: Run, old: Run, new_size: int = 5, old_size: int = 5) -> dict[str, Any]:
    joined = ChangeCounter(blocks(old, old_size))
    for block in blocks(new, new_size):
        joined.add(block)
    joined.finish()
    return joined.result().model_dump(by_alias=True)


@settings(deadline=None)
@given(RUNS, RUNS, st.integers(1, 4), st.integers(1, 4))
def test_blocks_of_any_size_give_what_dictionaries_give(
    new: Run, old: Run, new_size: int, old_size: int
) -> None:
    both = new.keys() & old.keys()
    differ = [k for k in both if new[k].label and old[k].label and new[k].label != old[k].label]
    by_image = [key for key in differ if new[key].etag != old[key].etag]
    joined = changes(new, old, new_size, old_size)
    assert joined["images"] == {
        "in_both": len(both),
        "new": len(new.keys() - old.keys()),
        "vanished": len(old.keys() - new.keys()),
        "image_replaced": sum(new[key].etag != old[key].etag for key in both),
    }
    assert joined["labels"] == {
        "image_changed": len(by_image),
        "model_changed": len(differ) - len(by_image),
        "lost": sum(old[key].label is not None and new[key].label is None for key in both),
        "gained": sum(old[key].label is None and new[key].label is not None for key in both),
        "changed": len(differ),
    }
    assert {row["key"] for row in joined["examples"]} == set(differ)
    assert sum(pair["images"] for pair in joined["pairs"]) == len(differ)


def test_the_most_frequent_pairs_come_first() -> None:
    old = {f"{n:03}": Row("1", "cat" if n % 3 else "dog") for n in range(30)}
    new = {key: Row("1", "dog" if row.label == "cat" else "cat") for key, row in old.items()}
    assert changes(new, old)["pairs"] == (
        {"from": "cat", "to": "dog", "images": 20},
        {"from": "dog", "to": "cat", "images": 10},
    )


def test_of_many_pairs_the_twenty_first_are_told_and_equal_ones_by_their_names() -> None:
    names = [f"{n:02}" for n in range(30)]
    old = {f"{99 - int(name)}-{n}": Row("1", name) for name in names for n in range(1 + (name == "29"))}
    new = {key: Row("1", "dog") for key in old}
    pairs = changes(new, old)["pairs"]
    assert [(pair["from"], pair["images"]) for pair in pairs] == [("29", 2), *((n, 1) for n in names[:19])]


def test_the_surest_of_both_runs_are_the_first_examples() -> None:
    """An answer that one of the runs gave with 0.3 flips easily, however sure the other was."""
    sure = {"a": (0.3, 0.99), "b": (0.75, 0.75), "c": (0.99, 0.5), "d": (0.75, 0.9), "e": (0.9, 0.9)}
    old = {key: Row("1", "cat", before) for key, (before, _) in sure.items()}
    new = {key: Row("1", "dog", now) for key, (_, now) in sure.items()}
    for size in (1, 2, 5):
        joined = ChangeCounter(blocks(old, size))
        for block in blocks(new, 3):
            joined.add(block)
        joined.finish()
        examples = joined.result().examples
        assert [example.key for example in examples] == list("ebdca")
        assert (examples[3].from_probability, examples[3].to_probability) == pytest.approx((0.99, 0.5))
        assert joined.surest() == [ChangedImage(key, "1") for key in "ebdca"]


class Counting(ChangeCounter):
    """Notes how many rows of either run are joined in one go."""

    def __init__(self, last: Iterator[pa.Table]) -> None:
        super().__init__(last)
        self.sizes: list[tuple[int, int]] = []

    def _join(self, new: pa.Table, old: pa.Table) -> None:
        self.sizes.append((len(new), len(old)))
        super()._join(new, old)


def test_rows_are_joined_by_the_block_and_not_one_by_one() -> None:
    run = {f"{n:02}": Row("1", "cat") for n in range(12)}
    for new_size, old_size, sizes in (
        (12, 12, [(12, 12)]),
        (6, 12, [(6, 6), (6, 6)]),
        (12, 6, [(6, 6), (6, 6)]),
        (8, 6, [(6, 6), (2, 2), (4, 4)]),
    ):
        joined = Counting(blocks(run, old_size))
        for block in blocks(run, new_size):
            joined.add(block)
        assert [size for size in joined.sizes if any(size)] == sizes


def test_examples_are_bounded() -> None:
    old = {f"{n:04}": Row("1", "cat") for n in range(3 * EXAMPLES)}
    new = {key: Row("1", "dog") for key in old}
    joined = changes(new, old, 40, 70)
    assert [row["key"] for row in joined["examples"]] == sorted(old)[:EXAMPLES]
    assert joined["labels"]["changed"] == 3 * EXAMPLES


def test_an_example_says_both_labels_and_whether_the_image_is_another() -> None:
    (example,) = changes({"a": Row("2", "dog")}, {"a": Row("1", "cat")})["examples"]
    assert example == {
        "key": "a",
        "from": "cat",
        "to": "dog",
        "from_probability": 0.75,
        "to_probability": 0.75,
        "image_replaced": True,
    }
