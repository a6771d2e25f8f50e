import os
import stat
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fovea.errors import ObjectChanged, ObjectMissing, SettingsInvalid, Unavailable
from fovea.stores import connection
from fovea.stores.storage import Folder, LocalFolder, is_bucket, open_folder
from tests.buckets import Bucket

if TYPE_CHECKING:
    from obstore.store import BackoffConfig


@pytest.fixture(params=["local", "bucket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A folder that does not exist yet."""
    if request.param == "local":
        return open_folder(str(tmp_path / "place"))
    bucket: Bucket = request.getfixturevalue("bucket")
    return open_folder(f"{bucket.uri}/place")


@pytest.fixture
def local(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "place")


@pytest.fixture
def no_endpoint(monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> str:
    """A bucket whose endpoint nobody listens at: port 9 is discard, and off everywhere."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    quick: BackoffConfig = {"init_backoff": timedelta(seconds=0.01), "max_backoff": timedelta(seconds=0.02)}
    monkeypatch.setitem(connection._SHORT_RETRIES, "backoff", quick)
    monkeypatch.setitem(connection._LONG_RETRIES, "backoff", quick)
    return f"{bucket.uri}/place"


def keys(folder: Folder) -> list[str]:
    return [entry.key for entry in folder.entries()]


def test_what_is_written_is_read(folder: Folder) -> None:
    folder.write("a/b.bin", b"\x00\xff")
    assert folder.read("a/b.bin") == b"\x00\xff"


def test_writing_again_replaces(folder: Folder) -> None:
    folder.write("a", b"first")
    folder.write("a", b"second")
    assert folder.read("a") == b"second"


def test_reading_what_is_not_there_says_so(folder: Folder) -> None:
    with pytest.raises(ObjectMissing, match="place/nothing: no such"):
        folder.read("nothing")


def test_a_folder_is_not_an_object(folder: Folder) -> None:
    folder.write("a/b", b"")
    assert not folder.exists("a")
    with pytest.raises(ObjectMissing):
        folder.read("a")


def test_pieces_are_the_object(folder: Folder) -> None:
    data = bytes(range(256)) * 20_000
    folder.write("large", data)
    pieces = list(folder.pieces("large"))
    assert b"".join(pieces) == data
    assert len(pieces) > 1
    with pytest.raises(ObjectMissing, match="nothing: no such"):
        next(iter(folder.pieces("nothing")))


def test_the_beginning_is_as_long_as_asked_or_the_whole_object(folder: Folder) -> None:
    folder.write("large", bytes(range(256)) * 10_000)
    folder.write("small", b"a")
    assert folder.beginning("large", 64) == bytes(range(64))
    assert folder.beginning("small", 64) == b"a"
    with pytest.raises(ObjectMissing, match="nothing: no such"):
        folder.beginning("nothing", 64)


def test_a_mapped_file_is_put(folder: Folder, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 6_000_000)  # more than a store takes in one part
    with path.open("rb") as file:
        mapped = mmap(file.fileno(), 0, access=ACCESS_READ)
    assert folder.put_if_absent("copy", mapped)
    folder.write("another", mapped)
    assert folder.read("copy") == folder.read("another") == path.read_bytes()


def test_exists_tells_what_is_there(folder: Folder) -> None:
    folder.write("a", b"")
    assert folder.exists("a")
    assert not folder.exists("b")


def test_what_is_removed_is_gone_and_need_not_have_been_there(folder: Folder) -> None:
    folder.write("a/b.txt", b"x")
    folder.remove("a/b.txt")
    folder.remove("a/b.txt")
    folder.remove("a/b.txt/c")
    assert keys(folder) == []


def test_entries_are_sorted_as_buckets_sort(folder: Folder) -> None:
    for key in ["b", "a/z", "a.txt", "a/b/c", "a0", "ü", "A", "a b"]:
        folder.write(key, b"")
    assert keys(folder) == ["A", "a b", "a.txt", "a/b/c", "a/z", "a0", "b", "ü"]


def test_keys_with_odd_characters_are_read_by_the_key_that_was_listed(folder: Folder) -> None:
    for key in ["a b.png", "a%20b.png", "#h?.png", "*[1].png", "~.png", "back\\slash.png"]:
        folder.write(key, key.encode())
    assert [folder.read(key).decode() for key in keys(folder)] == keys(folder)
    assert len(keys(folder)) == 6


def test_entries_know_size_and_time(folder: Folder) -> None:
    folder.write("a", b"12345")
    (entry,) = folder.entries()
    assert entry.size == 5
    assert entry.etag
    assert abs(entry.last_modified.timestamp() - time.time()) < 60


def test_stat_says_of_an_object_what_the_listing_does(folder: Folder) -> None:
    folder.write("a/b+ ü.bin", b"12345")
    (listed,) = folder.entries()
    entry = folder.stat("a/b+ ü.bin")
    assert (entry.key, entry.size, entry.etag) == (listed.key, listed.size, listed.etag)
    # A bucket lists fractions of a second, which the header of a single answer has no room for.
    assert abs(entry.last_modified - listed.last_modified).total_seconds() < 1


def test_stat_of_what_is_not_there_says_so(folder: Folder) -> None:
    folder.write("a/b", b"")
    for key in ("nothing", "a", "a/b/c"):
        with pytest.raises(ObjectMissing, match=f"place/{key}"):
            folder.stat(key)


def test_a_folder_that_does_not_exist_is_empty(folder: Folder) -> None:
    assert keys(folder) == []
    assert folder.children() == []
    assert not folder.exists("a")


def test_children_are_the_folders_directly_below(folder: Folder) -> None:
    for key in ["2/x", "10/x", "10/deep/x", "file"]:
        folder.write(key, b"")
    assert folder.children() == ["10", "2"]


def test_a_folder_below_has_its_own_keys(folder: Folder) -> None:
    folder.write("sub/a", b"1")
    below = folder.folder("sub")
    assert keys(below) == ["a"]
    assert below.read("a") == b"1"
    assert below.name == "sub"
    assert below.uri == f"{folder.uri}/sub"


def test_a_neighbour_with_the_same_beginning_is_not_listed(folder: Folder) -> None:
    folder.write("sub/a", b"")
    folder.write("sub2/b", b"")
    assert keys(folder.folder("sub")) == ["a"]


def test_put_if_absent_never_replaces(folder: Folder) -> None:
    assert folder.put_if_absent("a", b"first")
    assert not folder.put_if_absent("a", b"second")
    assert folder.read("a") == b"first"


def test_of_many_puts_at_once_one_wins(folder: Folder) -> None:
    barrier = threading.Barrier(8)
    won: list[int] = []

    def put(number: int) -> None:
        barrier.wait()
        if folder.put_if_absent("a", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert folder.read("a") == str(won[0]).encode()
    assert keys(folder) == ["a"]


def test_a_conditional_read_gives_what_was_listed(folder: Folder) -> None:
    folder.write("a", b"first")
    (entry,) = folder.entries()
    assert folder.read("a", entry.etag) == b"first"


def test_a_conditional_read_refuses_another_object(folder: Folder) -> None:
    folder.write("a", b"first")
    (entry,) = folder.entries()
    folder.write("a", b"second")
    with pytest.raises(ObjectChanged, match="changed since it was listed"):
        folder.read("a", entry.etag)


def test_a_file_uri_is_a_local_folder(tmp_path: Path) -> None:
    folder = open_folder(f"file://{tmp_path}/with%20space")
    folder.write("a", b"")
    assert (tmp_path / "with space" / "a").is_file()
    assert not is_bucket(folder.uri)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("http://host/x", "http:// is not a place"),
        ("s3://", "the bucket's name is missing"),
        ("s3:///x", "the bucket's name is missing"),
        ("s3://[bad/x", "cannot be opened"),
        ("file://host/x", "three slashes"),
        ("", "empty"),
    ],
)
def test_a_wrong_uri_is_refused(uri: str, says: str) -> None:
    with pytest.raises(SettingsInvalid, match=says):
        open_folder(uri)


def test_an_endpoint_that_is_no_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9000")
    with pytest.raises(SettingsInvalid, match="http://HOST:PORT"):
        open_folder("s3://bucket/x")


def test_a_store_that_does_not_answer_is_unavailable_in_one_line(no_endpoint: str) -> None:
    folder = open_folder(no_endpoint)
    for failing in (
        lambda: list(folder.entries()),
        folder.children,
        lambda: folder.exists("a"),
        lambda: folder.read("a"),
        lambda: folder.beginning("a", 64),
        lambda: list(folder.pieces("a")),
        lambda: folder.write("a", b""),
        lambda: folder.put_if_absent("a", b""),
    ):
        with pytest.raises(Unavailable, match="s3://") as caught:
            failing()
        assert "\n" not in str(caught.value)


class Forbidding(BaseHTTPRequestHandler):
    """A store that knows the caller's key and refuses it."""

    def do_GET(self) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass


def test_refused_credentials_are_unavailable_and_said_so(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forbidding)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    folder = open_folder(f"{bucket.uri}/place")
    for failing in (lambda: list(folder.entries()), lambda: folder.read("a")):
        with pytest.raises(Unavailable, match="the store refuses these credentials"):
            failing()
    server.shutdown()
    server.server_close()


def test_a_bucket_that_does_not_exist_is_unavailable(bucket: Bucket) -> None:
    with pytest.raises(Unavailable, match=r"cannot be listed.*404"):
        list(open_folder("s3://no-such-bucket/x").entries())


def test_a_file_in_the_way_of_a_folder_is_an_error_and_not_a_lost_race(local: LocalFolder) -> None:
    local.write("a", b"")
    with pytest.raises(Unavailable, match="cannot be written"):
        local.put_if_absent("a/b", b"")


def test_a_write_that_fails_leaves_nothing_behind(local: LocalFolder) -> None:
    local.write("a/b", b"")
    with pytest.raises(Unavailable, match="cannot be written"):
        local.write("a", b"a folder has this name")
    assert [path.name for path in local.path.iterdir()] == ["a"]


def test_written_files_follow_the_umask(local: LocalFolder) -> None:
    before = os.umask(0o027)
    try:
        local.write("a", b"")
        local.put_if_absent("b", b"")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in local.path.iterdir()} == {0o640}


def test_a_link_to_its_own_folder_is_not_followed_for_ever(local: LocalFolder) -> None:
    local.write("sub/a", b"")
    (local.path / "sub" / "again").symlink_to(local.path)
    assert keys(local) == ["sub/a"]


def test_links_that_lead_round_or_nowhere_cost_themselves_alone_and_are_counted(
    local: LocalFolder, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("x/1", "y/2"):
        local.write(key, b"")
    for link, target in {"x/a": "../y", "y/b": "../x", "self": "self", "nowhere": "missing"}.items():
        (local.path / link).symlink_to(target)
    assert keys(local) == ["x/1", "x/a/2", "y/2", "y/b/1"]
    assert caplog.messages == [
        f"{local.path}: links left out that lead nowhere: 2; nowhere",
        f"{local.path}: links left out that lead round in a circle: 2; x/a/b/",
    ]


def test_links_to_files_and_other_folders_are_followed(local: LocalFolder, tmp_path: Path) -> None:
    local.write("a", b"1")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b").write_bytes(b"2")
    (local.path / "folder").symlink_to(tmp_path / "other")
    (local.path / "file").symlink_to(local.path / "a")
    (local.path / "nowhere").symlink_to(local.path / "missing")
    assert keys(local) == ["a", "file", "folder/b"]


def test_a_name_that_is_not_utf8_is_listed_and_read(local: LocalFolder) -> None:
    local.path.mkdir()
    Path(os.fsdecode(os.fsencode(local.path) + b"/\xff.png")).write_bytes(b"1")
    (key,) = keys(local)
    assert local.read(key) == b"1"


def test_pipes_and_unfinished_writes_are_not_listed(local: LocalFolder) -> None:
    local.write("a", b"")
    os.mkfifo(local.path / "pipe")
    (local.path / ".tmp-x").write_bytes(b"")
    assert keys(local) == ["a"]
