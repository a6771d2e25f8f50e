import hashlib

from server.rollout.split import Split

KEYS = [f"caller-{number}" for number in range(4000)]


def taken(split: Split) -> set[str]:
    return {key for key in KEYS if split.takes(key)}


def test_a_key_goes_the_same_way_each_time_and_a_larger_share_only_takes_further_ones() -> None:
    before: set[str] = set()
    for percent in (0, 1, 10, 50, 100):
        now = taken(Split("pets", 4, percent))
        assert now == taken(Split("pets", 4, percent))
        assert before <= now
        assert abs(len(now) / len(KEYS) - percent / 100) < 0.03
        before = now
    assert before == set(KEYS)


def test_another_version_begins_with_other_keys() -> None:
    first, second = taken(Split("pets", 4, 10)), taken(Split("pets", 5, 10))
    assert len(first & second) < 0.3 * len(first)


def test_which_keys_are_taken_can_be_told_by_others() -> None:
    place = int.from_bytes(hashlib.sha256(b"pets/4/ann").digest()[:8]) / 2**64
    assert not Split("pets", 4, 100 * place - 0.001).takes("ann")
    assert Split("pets", 4, 100 * place + 0.001).takes("ann")


def test_calls_without_a_key_are_drawn() -> None:
    drawn = [Split("pets", 4, 25).takes("") for _ in range(4000)]
    assert 0.2 < sum(drawn) / len(drawn) < 0.3
