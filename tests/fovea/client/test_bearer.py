"""The clients say who calls: by a token, or by a file that is read again as it changes; and for whom."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from fovea.client import AsyncClient, CallFailed, Client, bearer, command
from fovea.errors import DataInvalid, ExitCode, FoveaError, SettingsInvalid, Unavailable
from tests.stub_classifier import StubClassifier, stub_server

SECRET = "a-secret~of/mine="


@pytest.fixture
def stub() -> Iterator[StubClassifier]:
    with stub_server() as running:
        yield running


def calls_of_a_client(address: str, **who: Any) -> int:
    """Makes each kind of call, and gives their number."""
    with Client(address, **who) as client:
        client.classify(b"image")
        client.get_model()
        assert len(list(client.classify_many([b"image"] * 3, window=65))) == 3  # over two connections
    return 5


async def calls_of_an_async_client(address: str, **who: Any) -> int:
    async with AsyncClient(address, **who) as client:
        await client.classify(b"image")
        await client.get_model()
        assert len([each async for each in client.classify_many([b"image"] * 3, window=65)]) == 3
    return 5


def test_every_call_brings_the_token_and_without_one_none(stub: StubClassifier, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"\n{SECRET}\n")
    for who, sent in (({"token": SECRET}, SECRET), ({"token_file": file}, SECRET), ({}, None)):
        expected = f"Bearer {sent}" if sent else None
        stub.authorizations.clear()
        count = calls_of_a_client(stub.address, **who)
        count += asyncio.run(calls_of_an_async_client(stub.address, **who))
        assert stub.authorizations == [expected] * count


def test_calls_bring_the_sticky_key_beside_the_token(stub: StubClassifier) -> None:
    async def ask() -> None:
        async with AsyncClient(stub.address, token=SECRET) as client:
            await client.classify(b"image", sticky_key="ann")
            assert [each async for each in client.classify_many([b"image"], sticky_key="bob")]

    with Client(stub.address, token=SECRET) as client:
        client.classify(b"image", sticky_key="ann")
        assert list(client.classify_many([b"image"], sticky_key="bob"))
        client.classify(b"image")
        with pytest.raises(ValueError, match="sticky_key must be printable ASCII, not 'Zoë'"):
            client.classify(b"image", sticky_key="Zoë")
    asyncio.run(ask())
    assert stub.sticky_keys == ["ann", "bob", None, "ann", "bob"]
    assert stub.authorizations == [f"Bearer {SECRET}"] * 5


def test_a_file_that_changes_is_read_again_and_one_that_is_broken_is_not_taken(
    stub: StubClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    with Client(stub.address, token_file=file) as client:
        file.write_text("second")
        client.classify(b"image")
        monkeypatch.setattr(bearer, "LOOK_EVERY_S", 0)
        client.classify(b"image")
        file.write_text("")
        client.classify(b"image")
        file.unlink()
        client.classify(b"image")
        file.write_text("third")
        client.classify(b"image")
    sent = ["first", "second", "second", "second", "third"]
    assert stub.authorizations == [f"Bearer {each}" for each in sent]


def test_what_is_no_token_is_refused_before_any_call_and_not_shown(tmp_path: Path) -> None:
    contents = {
        "empty": b"",
        "two": b"one two",
        "lines": b"one\ntwo",
        "bytes": b"\xff\xfe",
        "long": b"x" * 9000,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    cases: list[tuple[dict[str, Any], type[FoveaError], str]] = [
        ({"token": ""}, SettingsInvalid, "the token that is given is none"),
        ({"token": f"{SECRET} more"}, SettingsInvalid, "the token that is given is none"),
        ({"token": f"{SECRET}\n"}, SettingsInvalid, "the token that is given is none"),
        ({"token": SECRET, "token_file": "x"}, SettingsInvalid, "one of them is meant"),
        ({"token_file": tmp_path / "none"}, Unavailable, "none cannot be read: No such file"),
        ({"token_file": tmp_path}, Unavailable, "cannot be read: Is a directory"),
        *(({"token_file": tmp_path / name}, DataInvalid, f"{name} holds no token") for name in contents),
    ]
    for who, error, says in cases:
        for kind in (Client, AsyncClient):
            with pytest.raises(error, match=says) as raised:
                kind("127.0.0.1:1", **who)
            assert SECRET not in str(raised.value)


def test_a_call_that_is_not_let_in_is_not_tried_again(stub: StubClassifier) -> None:
    for code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        before, stub.always = stub.calls, code
        with Client(stub.address) as client, pytest.raises(CallFailed) as raised:
            client.classify(b"image")
        assert raised.value.code is code
        assert raised.value.exit_code is ExitCode.BAD_DATA
        assert stub.calls == before + 1


def test_the_command_takes_the_file(
    stub: StubClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "cat.jpg").write_bytes(b"image")
    options = ("--target", stub.address, "--token-file", str(tmp_path / "token"))
    monkeypatch.setattr(sys, "argv", ["fovea.client", str(tmp_path / "cat.jpg"), *options])
    assert command.main() is ExitCode.DONE
    assert "stub" in capsys.readouterr().out
    assert stub.authorizations == [f"Bearer {SECRET}"] * 2
