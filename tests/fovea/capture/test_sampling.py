import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fovea.capture.reasons import REASONS
from fovea.capture.sampling import Budget, Sample

ROOM = 10**9
CHI_SQUARED_29 = 58.3
"""Of 29 degrees of freedom, the 99.9th percentile."""


def sample(images: int, size_bytes: int = ROOM, seed: object = 1) -> Sample[int]:
    return Sample(Budget(images, size_bytes), REASONS, random.Random(str(seed)))


def test_every_item_of_a_reason_is_as_likely_to_be_kept() -> None:
    """Also where another reason comes late, and takes its part of the budget."""
    times: Counter[int] = Counter()
    for seed in range(2000):
        drawn = sample(10, seed=seed)
        for item in range(30):
            drawn.offer("uniform", 1, lambda item=item: item)  # type: ignore[misc]
            if item >= 20:
                drawn.offer("unknown", 1, lambda: -1)
        times.update(item for reason, item in drawn.kept if reason == "uniform")
    expected = times.total() / 30
    assert times.total() == 2000 * 5
    assert sum((times[item] - expected) ** 2 / expected for item in range(30)) < CHI_SQUARED_29


@given(
    st.lists(st.tuples(st.sampled_from(REASONS), st.integers(0, 40)), max_size=60),
    st.integers(1, 12),
    st.integers(0, 100),
)
def test_the_budget_holds_after_every_item(
    items: list[tuple[str, int]], images: int, size_bytes: int
) -> None:
    drawn: Sample[int] = sample(images, size_bytes)
    for reason, size in items:
        assert drawn.offer(reason, size, lambda size=size: size) == (size <= size_bytes)  # type: ignore[misc]
        kept = drawn.kept
        assert len(kept) <= images
        assert sum(size for _, size in kept) <= size_bytes
    assert sum(drawn.seen.values()) == len(items)


def test_all_is_kept_in_its_order_while_there_is_room() -> None:
    drawn = sample(5)
    for item in (3, 1, 2):
        drawn.offer("abstained", 1, lambda item=item: item)  # type: ignore[misc]
    assert drawn.kept == [("abstained", 3), ("abstained", 1), ("abstained", 2)]
    assert drawn.seen["abstained"] == 3


def test_a_frequent_reason_leaves_a_rare_one_its_part() -> None:
    drawn = sample(10)
    for item in range(1000):
        drawn.offer("small_margin", 1, lambda: 0)
        if item % 100 == 50:
            drawn.offer("unknown", 1, lambda: 0)
    assert Counter(reason for reason, _ in drawn.kept) == {"small_margin": 5, "unknown": 5}


def test_what_is_not_kept_is_not_made() -> None:
    made: list[int] = []
    drawn: Sample[None] = Sample(Budget(3, 10), REASONS, random.Random(0))
    for number in range(500):
        drawn.offer("uniform", 1, lambda number=number: made.append(number))  # type: ignore[misc]
    assert 3 <= len(made) < 60, "some 3 times the harmonic sum, and no more"
    before = len(made)
    assert not drawn.offer("uniform", 11, lambda: made.append(-1))
    assert len(made) == before


def test_the_same_seed_draws_the_same() -> None:
    first, second, other = sample(3, seed="a"), sample(3, seed="a"), sample(3, seed="b")
    for drawn in (first, second, other):
        for item in range(50):
            drawn.offer("uniform", 1, lambda item=item: item)  # type: ignore[misc]
    assert first.kept == second.kept != other.kept


def test_the_reason_that_takes_most_bytes_lets_go_where_bytes_are_scarce() -> None:
    drawn = sample(10, 60)
    drawn.offer("abstained", 50, lambda: 0)
    for item in range(1, 4):
        drawn.offer("uniform", 5, lambda item=item: item)  # type: ignore[misc]
    assert [item for _, item in drawn.kept] == [1, 2, 3]
