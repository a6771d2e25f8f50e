from datetime import UTC, datetime

import pytest

from fovea.errors import Unavailable
from fovea.stores.folder import Entry
from scorer.files.rows import Failure
from scorer.scoring.fetching import LOST_AFTER_READS, Fetched, unless_lost

LOST = Failure("unreadable", "no answer", store_failed=True)
PLANNED = 10 * LOST_AFTER_READS


def fetched(*outcomes: bytes | Failure) -> list[Fetched]:
    entry = Entry("a.png", 1, "", datetime(2026, 1, 1, tzinfo=UTC))
    return [(entry, outcome) for outcome in outcomes]


def never() -> None:
    raise AssertionError("the store need not be asked")


def test_a_hundred_reads_that_fail_in_a_row_mean_that_the_store_is_gone() -> None:
    assert LOST_AFTER_READS == 100
    reads = fetched(b"x", *[LOST] * 99)
    assert list(unless_lost(reads, PLANNED, never)) == reads
    with pytest.raises(Unavailable, match="100 reads in a row failed, the last: no answer"):
        list(unless_lost(fetched(b"x", *[LOST] * 100), PLANNED, never))


def test_reads_that_fail_with_another_between_them_are_not_in_a_row() -> None:
    for between in (b"x", Failure("gone", "no such object")):
        reads = fetched(*[LOST] * 99, between, *[LOST] * 99)
        assert list(unless_lost(reads, PLANNED, never)) == reads


def test_a_shard_of_few_images_is_lost_when_all_of_them_fail() -> None:
    with pytest.raises(Unavailable, match="3 reads in a row failed"):
        list(unless_lost(fetched(LOST, LOST, LOST), 3, never))
    one_answered = fetched(LOST, b"x", LOST)
    assert list(unless_lost(one_answered, 3, never)) == one_answered


def test_the_store_is_asked_where_none_of_the_few_that_are_read_can_be() -> None:
    def gone() -> None:
        raise Unavailable("the store is gone")

    with pytest.raises(Unavailable, match="the store is gone"):
        list(unless_lost(fetched(LOST, LOST), PLANNED, gone))
    list(unless_lost(fetched(b"x", LOST), PLANNED, gone))
    list(unless_lost(fetched(), PLANNED, gone))
