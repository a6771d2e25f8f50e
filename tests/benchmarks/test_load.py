"""The load's HTTP callers, against a real server on loopback."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks import load
from benchmarks.http_calls import whole_answer

IMAGE = b"an image " * 20_000
"""More than a socket takes at once."""


@contextmanager
def server(status: int, bodies: list[bytes]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", "200000")
            self.end_headers()
            self.wfile.write(b"x" * 200_000)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("clients", [1, 3])
def test_http_callers_count_answers_and_failures(
    clients: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image.jpg").write_bytes(IMAGE)
    monkeypatch.setattr(load, "WARM_UP_S", 0.0)
    monkeypatch.setattr(load, "LONGER_S", 0.1)

    def report_of(status: int) -> dict[str, Any]:
        bodies: list[bytes] = []
        with server(status, bodies) as target:
            monkeypatch.setattr(
                sys, "argv", ["load", target, str(tmp_path), str(clients), "0.2", "--http", "/"]
            )
            load.main()
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert set(bodies) == {IMAGE}
        assert len(bodies) == report["all_images"] + sum(report["errors"].values())
        return report

    good = report_of(200)
    assert good["images"] == good["all_images"] > 0
    assert good["errors"] == {}
    assert 0 < good["p50_ms"] <= good["p99_ms"]
    assert good["cpu_s"] > 0
    bad = report_of(503)
    assert bad["all_images"] == 0
    assert set(bad["errors"]) == {"503"}


def test_load_goes_on_until_there_is_an_answer_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image.jpg").write_bytes(IMAGE)
    monkeypatch.setattr(load, "WARM_UP_S", 0.0)
    with server(200, []) as target:
        monkeypatch.setattr(sys, "argv", ["load", target, str(tmp_path), "1", "0", "--http", "/"])
        load.main()
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 1
    assert report["seconds"] >= report["p50_ms"] / 1000 > 0


def test_answer_is_whole_with_its_last_byte() -> None:
    answer = b"HTTP/1.1 429 Too Many\r\ncontent-type: x\r\nCONTENT-LENGTH: 5\r\n\r\nabcde"
    assert all(whole_answer(answer[:length]) is None for length in range(len(answer)))
    assert whole_answer(answer) == b"429"
