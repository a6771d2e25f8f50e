"""The join of two runs, against the same thing done with dictionaries."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from scorer.committing.changes import EXAMPLES, ChangeCounter, block_of

LABELS = ("cat", "dog", None)


class Row(NamedTuple):
    etag: str
    label: str | None


Run = dict[str, Row]

RUNS = st.dictionaries(
    st.text("ab\xe9\uffff\U0001f600", max_size=3),
    st.builds(Row, st.sampled_from("12"), st.sampled_from(LABELS)),
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
            "probability": pa.array([run[key].label and 0.75 for key in some], pa.float32()),
        }
        yield block_of(pa.array([key.encode() for key in some], pa.binary()), pa.table(columns))


def changes(new: Run, old: Run, new_size: int = 5, old_size: int = 5) -> dict[str, Any]:
    joined = ChangeCounter(blocks(old, old_size))
    for block in blocks(new, new_size):
        joined.add(block)
    joined.finish()
    return joined.result().model_dump(by_alias=True)


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
