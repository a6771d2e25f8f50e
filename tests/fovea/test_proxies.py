"""What goes through the proxy that the environment names, and what must not."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fovea.client import CallFailed, Client
from fovea.errors import Unavailable
from fovea.proxies import grpc_proxy
from fovea.stores.storage import open_folder
from tests.buckets import Bucket
from tests.fovea.client import quick_retries
from tests.servers import ROOT
from tests.stub_classifier import StubClassifier, stub_server

KINDS = ("grpc", "https", "http", "all")


class Proxy:
    """Refuses all, and keeps the first line of each request."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                proxy.asked.append(self.rfile.readline().decode().strip())
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """In every variable that any library reads."""
    proxy = Proxy()
    thread = threading.Thread(target=proxy.server.serve_forever, args=(0.01,))
    thread.start()
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for kind in KINDS:
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            monkeypatch.setenv(name, proxy.url.replace("//", "//someone:secret@"))
    yield proxy
    proxy.server.shutdown()
    thread.join()
    proxy.server.server_close()


@pytest.fixture
def stub() -> Iterator[StubClassifier]:
    with stub_server() as stub:
        yield stub


def test_calls_to_this_machine_go_past_the_proxy(stub: StubClassifier, proxy: Proxy) -> None:
    port = stub.address.partition(":")[2]
    for host in ("127.0.0.1", "localhost", "dns:///localhost", "dns:localhost", "ipv4:127.0.0.1"):
        with Client(f"{host}:{port}") as client:
            assert client.classify(b"image").label == "stub", host
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("target", "no_proxy"),
    [
        ("[::1]:8001", ""),
        ("ipv6:[::1]:8001", ""),
        ("ipv4:127.0.0.1:8001,127.0.0.2:8001", ""),
        ("unix:/run/fovea.sock", ""),
        ("dns://10.0.0.53/localhost:8001", ""),
        ("fovea.example:8001", ".example"),
        ("fovea.example:8001", "*"),
        ("10.1.2.3:8001", "10.0.0.0/8"),
        ("dns:///fovea.prod.svc:8001", "localhost, svc"),
    ],
)
def test_what_needs_no_proxy_is_known(
    target: str, no_proxy: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert grpc_proxy(target) == ""


@pytest.mark.parametrize("target", ["example:8001", "dns:///fovea:8001", "ipv4:127.0.0.1:1,10.0.0.7:1"])
def test_what_goes_through_a_proxy_is_known(
    target: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "other.example,10.9.0.0/16")
    assert grpc_proxy(target) == f"grpc_proxy={proxy.url}"


def test_a_failure_names_the_proxy_without_its_password(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_retries.patch(monkeypatch)
    with Client("fovea.example:8001") as client, pytest.raises(CallFailed) as failed:
        client.classify(b"image")
    assert f"by the proxy of grpc_proxy={proxy.url}; no_proxy names what needs none" in str(failed.value)
    assert set(proxy.asked) == {"CONNECT fovea.example:8001 HTTP/1.1"}


def test_only_the_proxies_that_grpc_takes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_grpc_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for given, address in {
        "http://user:p@ss/word@proxy.example:3128": "http://proxy.example:3128",
        "proxy.example:3128": "",
        "https://proxy.example:3128": "",
        "socks5://proxy.example:1080": "",
        "http://[bad": "http://[bad",
    }.items():
        monkeypatch.setenv("grpc_proxy", given)
        assert grpc_proxy("fovea.other:8001").removeprefix("grpc_proxy=") == address


def test_a_store_on_this_machine_is_reached_past_the_proxy(
    bucket: Bucket, request: pytest.FixtureRequest
) -> None:
    bucket.put("photos/a.png", b"image")
    proxy: Proxy = request.getfixturevalue("proxy")  # from here on
    program = (
        "import sys\n"
        "from fovea import exits\n"
        "from fovea.stores import storage\n"
        "exits.run(lambda: print(storage.open_folder(sys.argv[1]).read(sys.argv[2])))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, bucket.uri, "photos/a.png"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr, proxy.asked) == ("b'image'\n", "", [])


def test_a_store_that_a_proxy_keeps_away_is_not_the_stores_fault(
    bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.example:9000")
    with pytest.raises(Unavailable, match=rf"by the proxy of HTTP_PROXY={proxy.url}; no_proxy names what"):
        open_folder(bucket.uri).read("photos/a.png")
    assert proxy.asked == [f"GET http://store.example:9000/{bucket.name}/photos/a.png HTTP/1.1"]
