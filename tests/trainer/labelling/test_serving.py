"""Who is answered by the program that serves the page, and who is not."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from fovea.errors import Unavailable
from tests.trainer.labelling.made import answer
from trainer.labelling.saving import Saved
from trainer.labelling.serving import listening

TOKEN = "t" * 32
ROW = answer(b"one")
KNOWN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return Saved(tmp_path_factory.mktemp("served"), [], [ROW])


@pytest.fixture(scope="module")
def port(saved: Saved) -> Iterator[int]:
    with listening(0, TOKEN, b"<!doctype html>", saved) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.port
        server.shutdown()
        thread.join()


def ask(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers or {})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text


def test_who_knows_the_token_gets_the_page_and_saves(port: int, saved: Saved) -> None:
    assert ask(port, "GET", f"/?token={TOKEN}") == (200, "<!doctype html>")
    assert ask(port, "POST", "/answers", json.dumps({ROW.sha256: "red"}), KNOWN) == (204, "")
    assert json.loads(ask(port, "GET", "/answers", headers=KNOWN)[1]) == {ROW.sha256: "red"}
    assert ask(port, "POST", "/answers", json.dumps({ROW.sha256: None}), KNOWN) == (204, "")
    assert saved.answers() == {}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 403),
        ("GET", "/?token=", {}, 403),
        ("GET", "/?token=%C3%A9", {}, 403),
        ("GET", f"/?token={TOKEN[:-1]}", {}, 403),
        ("GET", "/answers", {}, 403),
        ("GET", "/answers", {"Authorization": "Bearer é"}, 403),
        ("GET", f"/corrections.csv?token={TOKEN}", KNOWN, 403),
        ("POST", "/answers", {}, 403),
        ("POST", f"/?token={TOKEN}", KNOWN, 403),
        ("PUT", "/answers", KNOWN, 501),
        ("GET", f"/?token={TOKEN}", {"Host": "evil.example"}, 421),
        ("POST", "/answers", {**KNOWN, "Host": "evil.example"}, 421),
    ],
)
def test_nobody_else_is_answered(
    port: int, saved: Saved, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    body = json.dumps({ROW.sha256: "red"}) if method != "GET" else None
    assert ask(port, method, path, body, headers)[0] == status
    assert saved.answers() == {}


@pytest.mark.parametrize(
    "body", ["", "{", "[" * 100_000, "[]", '{"a": 1}', '{"a": "red"}', json.dumps({ROW.sha256: " "})]
)
def test_body_that_is_none_is_refused_in_a_line(port: int, body: str) -> None:
    status, text = ask(port, "POST", "/answers", body, KNOWN)
    assert status == 400
    assert text.count("\n") == 1


@pytest.mark.parametrize("length", ["-1", "a", "99999999999", "²"])
def test_length_that_is_none_is_refused_and_nothing_is_waited_for(port: int, length: str) -> None:
    request = f"POST /answers HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{request}Content-Length: {length}\r\n\r\n".encode("latin-1"))
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_no_other_machine_can_ask_and_a_port_that_is_taken_is_said(port: int, saved: Saved) -> None:
    with (
        pytest.raises(Unavailable, match=f"--port {port}: Address already in use"),
        listening(port, TOKEN, b"", saved),
    ):
        pass
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", port)) != 0
