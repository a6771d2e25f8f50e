"""A store that is away for a while, and how long it is waited for."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fovea.errors import Unavailable
from fovea.stores import connection, patience, resumed
from fovea.stores.folder import Folder
from fovea.stores.patience import wait_for_stores
from fovea.stores.storage import open_folder, open_reachable
from tests.buckets import Bucket
from tests.certificates import Authority, write
from tests.faulty_store import (
    ALWAYS,
    Fault,
    FaultyStore,
    StoreReply,
    cut_short,
    dropped,
    faulty_store,
    refused,
)

LONG_S = 60.0


@pytest.fixture(autouse=True)
def nothing_else_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """But the process's own patience."""
    monkeypatch.setattr(
        connection, "_SHORT_RETRIES", {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
    )


@pytest.fixture
def store(bucket: Bucket, bucket_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """What `bucket` is reached by."""
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.01)
    with faulty_store(bucket_endpoint) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        yield store
    wait_for_stores(None)


@pytest.mark.parametrize("fault", [dropped, refused(503), refused(429)], ids=["silent", "503", "429"])
def test_every_call_waits_for_a_store_that_is_away(
    store: FaultyStore, bucket: Bucket, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    wait_for_stores(LONG_S)
    bucket.put("place/a", b"abc")
    folder = open_folder(f"{bucket.uri}/place")
    calls: dict[str, tuple[Callable[[], object], object]] = {
        "entries": (lambda: [entry.key for entry in folder.entries()], ["a"]),
        "children": (folder.children, []),
        "exists": (lambda: folder.exists("a"), True),
        "stat": (lambda: folder.stat("a").size, 3),
        "read": (lambda: folder.read("a"), b"abc"),
        "pieces": (lambda: list(folder.pieces("a")), [b"abc"]),
        "write": (lambda: folder.write("b", b""), None),
        "put_if_absent": (lambda: folder.put_if_absent("c", b""), True),
        "open_reachable": (lambda: open_reachable(bucket.uri).name, bucket.name),
    }
    for name, (call, expected) in calls.items():
        caplog.clear()
        for method in ("GET", "HEAD", "PUT"):
            store.on(method, "", fault, times=2)
        assert call() == expected, name
        messages = [record.message for record in caplog.records if record.name == patience.__name__]
        assert messages == ["the store is away; trying again"], name
        store.heal()


def test_a_store_that_stays_away_is_given_up_by_all_at_once(store: FaultyStore, bucket: Bucket) -> None:
    wait_for_stores(0.5)
    store.on("GET", "", dropped)
    folder = open_folder(f"{bucket.uri}/place")
    started = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda key: _error_of(folder, str(key)), range(64)))
    assert all("cannot be read" in outcome for outcome in outcomes)
    assert 0.5 <= time.monotonic() - started < 5, "64 reads waited one after the other"


def test_without_patience_a_store_is_asked_once(store: FaultyStore, bucket: Bucket) -> None:
    store.on("GET", "", dropped, times=1)
    with pytest.raises(Unavailable):
        open_folder(f"{bucket.uri}/place").read("a")
    assert store.count("GET", "") == 1


def test_a_single_object_that_fails_is_no_store_that_is_away(
    store: FaultyStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SICK_S", 0.3)
    wait_for_stores(LONG_S)
    bucket.put("place/well", b"well")
    store.on("GET", "/sick", refused(500))
    folder = open_folder(f"{bucket.uri}/place")
    ended = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        sick = thread.submit(_error_of, folder, "sick")
        sick.add_done_callback(lambda _: ended.set())
        deadline = time.monotonic() + LONG_S / 2
        while not ended.is_set() and time.monotonic() < deadline:
            assert folder.read("well") == b"well"
        assert ended.is_set(), "it was waited for as if the store were away"
    assert "500" in sick.result()


def test_a_listing_goes_on_where_it_broke_off(
    store: FaultyStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b", "c", "d"):
        bucket.put(f"many/{key}", key.encode())
    monkeypatch.setattr(resumed, "_PAGE", 2)
    store.on("GET", "list-type", _page_with_more("many/a", "many/b"), times=1)
    store.on("GET", "continuation-token", refused(503), times=1)
    wait_for_stores(LONG_S)
    listing = open_folder(f"{bucket.uri}/many").entries()
    assert [entry.key for entry in listing] == ["a", "b", "c", "d"]
    assert store.count("GET", "start-after=many%2Fb") == 1


def _page_with_more(*keys: str) -> Fault:
    """What a store answers whose pages hold two keys."""
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        "<ETag>0</ETag><Size>1</Size></Contents>"
        for key in keys
    )
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>"
    body = f"<ListBucketResult>{more}{contents}</ListBucketResult>".encode()
    return lambda handler: handler.send(StoreReply(200, [("Content-Type", "application/xml")], body))


def test_a_body_goes_on_where_it_broke_off(store: FaultyStore, bucket: Bucket) -> None:
    data = bytes(range(256)) * 40_000
    bucket.put("place/large", data)
    wait_for_stores(LONG_S)
    store.on("GET", "/large", cut_short, times=1)
    assert b"".join(open_folder(f"{bucket.uri}/place").pieces("large")) == data
    assert store.count("GET", "/large") == 2


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_the_store_refuses_is_not_waited_for(store: FaultyStore, bucket: Bucket, status: int) -> None:
    """Wrong credentials, and a bucket that does not exist."""
    wait_for_stores(LONG_S)
    for method in ("GET", "HEAD"):
        store.on(method, "", refused(status, "NoSuchBucket"), times=ALWAYS)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        list(open_folder(f"{bucket.uri}/place").entries())
    assert time.monotonic() - started < LONG_S / 2


def test_a_certificate_that_is_not_trusted_is_not_waited_for(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.create()
    write(tmp_path / "tls", authority, authority.issue("store"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls" / "tls.crt", tmp_path / "tls" / "tls.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://localhost:{server.server_port}")
        wait_for_stores(LONG_S)
        started = time.monotonic()
        with pytest.raises(Unavailable):
            open_folder(f"{bucket.uri}/certificates").read("a")
        assert time.monotonic() - started < LONG_S / 2
        server.shutdown()
    wait_for_stores(None)


def _error_of(folder: Folder, key: str) -> str:
    with pytest.raises(Unavailable) as caught:
        folder.read(key)
    return str(caught.value)
