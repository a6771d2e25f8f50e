"""Keys as consoles and scripts leave them: one that is odd costs itself alone."""

from datetime import UTC, datetime

import pytest

from fovea.errors import DataInvalid, ObjectUnreadable
from fovea.stores import aws, resumed
from fovea.stores.folder import Entry
from fovea.stores.object_keys import is_odd, without_folders
from fovea.stores.storage import open_folder
from tests.buckets import Bucket

ODD = ("/b.png", "./b.png", "../b.png", "x//b.png", "b\x01.png", "dir.png/")


def test_a_marker_of_a_folder_is_no_object(bucket: Bucket) -> None:
    """Also where obstore lists it out of order, and where it is the folder's own."""
    for key in ("", "cats/", "cats-1.jpg", "cats.jpg", "cats/1.jpg", "cats/old/", "cats/old/2.jpg", "empty"):
        bucket.put(f"photos/{key}", b"" if key.endswith("/") or not key else b"x")
    listed = [entry.key for entry in open_folder(f"{bucket.uri}/photos").entries()]
    assert listed == ["cats-1.jpg", "cats.jpg", "cats/1.jpg", "cats/old/2.jpg", "empty"]


def test_an_object_that_is_called_as_a_folder_is_listed_and_read(bucket: Bucket) -> None:
    for key in ("cat", "cat-1.jpg", "cat/1.jpg"):
        bucket.put(f"photos/{key}", key.encode())
    folder = open_folder(f"{bucket.uri}/photos")
    assert {entry.key: folder.read(entry.key, entry.etag) for entry in folder.entries()} == {
        key: key.encode() for key in ("cat", "cat-1.jpg", "cat/1.jpg")
    }


def test_odd_keys_are_listed_with_the_others_and_refused_by_name(bucket: Bucket) -> None:
    plain = ["a.png", "c/1.png", "z.png"]
    for key in (*plain, *ODD):
        bucket.put(f"photos/{key}", key.encode())
    folder = open_folder(f"{bucket.uri}/photos")
    entries = {entry.key: entry for entry in folder.entries()}
    assert list(entries) == sorted([*plain, *ODD])
    assert [key for key in entries if is_odd(key)] == sorted(ODD)
    for key in plain:
        assert folder.read(key, entries[key].etag) == key.encode()
        assert folder.stat(key) == entries[key]
    for key in ODD:
        for ask in (folder.read, folder.stat, folder.exists, lambda key: list(folder.pieces(key))):
            with pytest.raises(ObjectUnreadable, match="cannot be asked for: its key has"):
                ask(key)
    assert folder.children() == ["c", "dir.png", "x"]


def test_an_odd_key_far_into_a_listing_loses_none_and_doubles_none(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store gives pages of 7, of which some were read before the one that obstore refuses."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "7")
    monkeypatch.setattr(resumed, "_PAGE", 7)  # or obstore collects more than there is, and gives nothing
    keys = sorted([*(f"{n:03}/{m}.png" for n in range(12) for m in range(3)), "006//x.png"])
    for key in keys:
        bucket.put(f"photos/{key}", b"x")
    assert [entry.key for entry in open_folder(f"{bucket.uri}/photos").entries()] == keys


def test_without_boto3_an_odd_key_is_one_line_that_names_it(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("photos//b.png", b"x")
    monkeypatch.setattr(aws, "is_installed", lambda: False)
    folder = open_folder(f"{bucket.uri}/photos")
    for listing in (folder.entries, folder.children):
        with pytest.raises(DataInvalid, match=r'photos: cannot be listed: "photos//.*rename it; or install'):
            list(listing())


def test_an_archived_object_is_said_to_be_archived(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "photos/cold.png"
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"x", StorageClass="GLACIER")
    with pytest.raises(ObjectUnreadable, match=r"photos/cold.png: cannot be read: it is archived; restore"):
        open_folder(f"{bucket.uri}/photos").read("cold.png")


def test_marks_are_told_from_objects_without_asking() -> None:
    def listed(*given: tuple[str, int]) -> list[str]:
        entries = (Entry(key, size, "", datetime.now(UTC)) for key, size in given)
        return [entry.key for entry in without_folders(entries)]

    assert listed() == []
    assert listed(("a", 0)) == ["a"], "it may be an object of no bytes"
    assert listed(("a", 0), ("a/1", 1)) == ["a/1"]
    assert listed(("a", 1), ("a/1", 1)) == ["a", "a/1"]
    assert listed(("a", 1), ("a", 0), ("a/1", 1)) == ["a", "a/1"], "an object a, a mark a/"
    assert listed(("a.jpg", 1), ("a", 5), ("a/1", 1)) == ["a.jpg", "a/", "a/1"], "a mark with bytes"
    assert listed(("b", 1), ("a", 1)) == ["b", "a"], "this store does not sort at all"
    assert listed(("a//", 0), ("a//1", 1)) == ["a//1"]
