"""A store that lets the second writer win is told before anything is written."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fovea.errors import SettingsInvalid, Unavailable
from fovea.stores.conditional_puts import PROBE, require_conditional_puts
from fovea.stores.storage import open_folder
from tests.buckets import Bucket
from tests.faulty_store import FaultyStore, faulty_store, refused, unconditional


@pytest.fixture
def store(bucket: Bucket, bucket_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    with faulty_store(bucket_endpoint) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        yield store


def test_a_good_store_keeps_nothing_of_it(bucket: Bucket) -> None:
    for _ in range(2):
        require_conditional_puts(open_folder(f"{bucket.uri}/scores"))
        assert bucket.listing() == []


def test_a_store_that_ignores_the_condition_is_refused(bucket: Bucket, store: FaultyStore) -> None:
    store.on("PUT", PROBE, unconditional)
    with pytest.raises(SettingsInvalid, match=f"{bucket.uri}/scores: this store is told in vain to write"):
        require_conditional_puts(open_folder(f"{bucket.uri}/scores"))
    assert bucket.listing() == []


def test_it_is_refused_where_the_name_was_there_too(bucket: Bucket, store: FaultyStore) -> None:
    bucket.put(f"scores/{PROBE}", b"")
    store.on("PUT", PROBE, unconditional)
    with pytest.raises(SettingsInvalid):
        require_conditional_puts(open_folder(f"{bucket.uri}/scores"))


def test_a_store_that_does_not_know_the_condition_is_refused_at_once(
    bucket: Bucket, store: FaultyStore
) -> None:
    store.on("PUT", PROBE, refused(501, "NotImplemented"))
    with pytest.raises(SettingsInvalid, match="this store refuses"):
        require_conditional_puts(open_folder(f"{bucket.uri}/scores"))


def test_who_may_not_delete_leaves_one_object(bucket: Bucket, store: FaultyStore) -> None:
    store.on("POST", "delete", refused(403, "AccessDenied"))
    store.on("DELETE", "", refused(403, "AccessDenied"))
    for _ in range(3):
        require_conditional_puts(open_folder(f"{bucket.uri}/scores"))
        assert bucket.listing() == [f"scores/{PROBE}"]


def test_who_may_not_write_is_told_so(bucket: Bucket, store: FaultyStore) -> None:
    store.on("PUT", "", refused(403, "AccessDenied"))
    with pytest.raises(Unavailable, match="cannot be written: the store refuses these credentials"):
        require_conditional_puts(open_folder(f"{bucket.uri}/scores"))


def test_another_program_that_asks_at_the_same_time_is_no_bad_store(
    bucket: Bucket, store: FaultyStore
) -> None:
    """Its object was there at our first put, and is gone at our second."""
    puts = iter(("theirs", "ours", "ours"))

    def removed_after_the_first(handler: object) -> None:
        handler.send(handler.forward())  # type: ignore[attr-defined]
        if next(puts) == "theirs":
            bucket.delete(f"scores/{PROBE}")

    bucket.put(f"scores/{PROBE}", b"")
    store.on("PUT", PROBE, removed_after_the_first)
    require_conditional_puts(open_folder(f"{bucket.uri}/scores"))
    assert store.count("PUT", PROBE) == 3
    assert bucket.listing() == []


def test_a_folder_is_not_asked(tmp_path: Path) -> None:
    require_conditional_puts(open_folder(str(tmp_path / "scores")))
    assert list(tmp_path.iterdir()) == []
