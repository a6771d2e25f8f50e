import gzip
import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.registry import Collector

from server.telemetry import exposition

PATIENCE_S = 30


class Failing(Collector):
    def collect(self) -> Iterator[Metric]:
        raise RuntimeError("cannot be collected")


@pytest.fixture(scope="module")
def port() -> int:
    registry = CollectorRegistry()
    Counter("seen", "Seen.", registry=registry).inc()
    return exposition.serve(registry, "127.0.0.1", 0)


def ask(port: int, method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return response, response.read()


@pytest.mark.parametrize("path", ["/metrics", "/", "/metrics?name[]=seen_total"])
def test_metrics_are_at_their_path(port: int, path: str) -> None:
    response, body = ask(port, "GET", path)
    assert response.status == 200
    assert b"seen_total 1.0" in body
    assert response.headers["Server"] == "Fovea"  # and no version of Python


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/favicon.ico", 404),
        ("GET", "/metrics/x", 404),
        ("HEAD", "/x", 404),
        ("POST", "/metrics", 501),
    ],
)
def test_nothing_else_is_answered(port: int, method: str, path: str, status: int) -> None:
    assert ask(port, method, path)[0].status == status


def test_head_has_no_body(port: int) -> None:
    response, body = ask(port, "HEAD", "/metrics")
    assert (response.status, body) == (200, b"")


def test_page_is_compressed_for_who_takes_it(port: int) -> None:
    response, body = ask(port, "GET", "/metrics", **{"Accept-Encoding": "gzip"})
    assert response.getheader("Content-Encoding") == "gzip"
    assert b"seen_total 1.0" in gzip.decompress(body)


def test_openmetrics_is_spoken_with_who_asks_for_it(port: int) -> None:
    response, body = ask(port, "GET", "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert str(response.getheader("Content-Type")).startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


def test_half_open_connections_keep_nobody_out(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(exposition.MAX_CONNECTIONS // 2):
            stack.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(b"GET /met")
        assert ask(port, "GET", "/metrics")[0].status == 200


def test_more_connections_than_there_is_room_for_are_closed_at_once(port: int) -> None:
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
            for _ in range(exposition.MAX_CONNECTIONS + 1)
        ]
        assert idle[-1].recv(1) == b""


def test_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition._Handler, "timeout", 0.1)
    port = exposition.serve(CollectorRegistry(), "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as silent:
        silent.sendall(b"GET /met")
        assert silent.recv(1) == b""


def test_failure_is_logged_and_the_next_scrape_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    failing = Failing()
    registry.register(failing)
    port = exposition.serve(registry, "127.0.0.1", 0)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(port, "GET", "/metrics")
    assert "/metrics failed" in caplog.text
    registry.unregister(failing)
    assert ask(port, "GET", "/metrics")[0].status == 200
