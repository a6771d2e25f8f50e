"""The file of tokens: what a line may be, and what becomes of one that changes."""

import re
from pathlib import Path
from typing import Final

import pytest

from fovea.errors import DataInvalid, Unavailable
from server.access import tokens
from server.access.scopes import Scope
from server.access.tokens import Token, TokenFile
from server.access.watched_file import LOOK_EVERY_S, MAX_FILE_BYTES

SECRET: Final = "x7-a_secret"
LINE: Final = Token.of(SECRET, "nightly", [Scope.CLASSIFY]).line
OTHER: Final = Token.of("another", "ops@team", [*Scope]).line
DIGEST: Final = "0" * 64


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def tick(self) -> None:
        self.now += LOOK_EVERY_S


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "tokens"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_line_is_a_name_scopes_and_the_sha256_of_the_token(tmp_path: Path) -> None:
    other = f"ops\tclassify,admin,metrics {OTHER.split()[2].upper()}"
    text = f"\ufeff# who may call\r\n\r\n  {LINE} \r\n\t# {DIGEST}\n{other}"
    file = TokenFile(write(tmp_path, text))
    assert file.find(SECRET) == Token.parse(LINE)
    found = file.find("another")
    assert found is not None
    assert (found.name, found.scopes) == ("ops", frozenset(Scope))
    for unknown in ("", SECRET[:-1], SECRET + "x", SECRET.upper(), DIGEST, LINE.split()[2]):
        assert file.find(unknown) is None


def test_two_tokens_of_one_name_hold_while_one_takes_the_others_place(tmp_path: Path) -> None:
    file = TokenFile(write(tmp_path, f"{LINE}\n{Token.of('next', 'nightly', [Scope.CLASSIFY]).line}\n"))
    assert [found.name for found in map(file.find, (SECRET, "next")) if found] == ["nightly", "nightly"]


def test_a_line_of_no_use_is_named_by_its_number_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 3)
    many = "".join(f"n{number} classify {number:064x}\n" for number in range(4))
    for text, complaint in (
        (f"{LINE}\n{SECRET}", ", line 2: has 1 words, not the three of NAME SCOPES SHA256"),
        (f"#\n\n{SECRET} classify {DIGEST} # why", ", line 3: has 5 words"),
        (f"nightly classify {SECRET}", ", line 1: the third word is no sha256"),
        (f"nightly classify {DIGEST[1:]}", ", line 1: the third word is no sha256"),
        (f"nightly {SECRET} {DIGEST}", ", line 1: a scope is classify or admin"),
        (f"nightly classify, {DIGEST}", ", line 1: a scope is classify or admin"),
        (f"{SECRET}! classify {DIGEST}", ", line 1: the name has other characters"),
        (f"{'n' * 64} classify {DIGEST}", ", line 1: the name has other characters"),
        (f"{LINE}\n{OTHER}\n{LINE}", ", line 3: is for the same token as line 1"),
        (many, ", line 4: there are more than 3 tokens"),
        ("# nobody\n", ": holds no token; python -m server.access NAME makes one"),
        (b"\xff\xfe", ": is not a file of text"),
        (b"#" * (MAX_FILE_BYTES + 1), ": has more than 1048576 bytes"),
    ):
        path = write(tmp_path, text)
        with pytest.raises(DataInvalid, match="^" + re.escape(f"--token-file {path}{complaint}")) as raised:
            TokenFile(path)
        assert SECRET not in str(raised.value)
    for missing, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(Unavailable, match=f"{re.escape(str(missing))}: cannot be read: {why}"):
            TokenFile(missing)


def test_what_is_put_in_its_place_holds_within_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = Clock()
    for number, line in enumerate((LINE, OTHER)):  # as kubelet has them: files behind a link that is swapped
        (tmp_path / f"..{number}").mkdir()
        write(tmp_path / f"..{number}", line)
    (tmp_path / "..data").symlink_to("..0")
    (tmp_path / "tokens").symlink_to("..data/tokens")
    file = TokenFile(tmp_path / "tokens", clock)
    (tmp_path / "..next").symlink_to("..1")
    (tmp_path / "..next").rename(tmp_path / "..data")
    assert file.find(SECRET) is not None
    clock.tick()
    assert file.find(SECRET) is None
    assert file.find("another") is not None
    clock.tick()
    assert file.find("another") is not None
    assert [record.getMessage() for record in caplog.records] == ["tokens replaced"]


def test_a_broken_replacement_keeps_the_old_tokens_and_warns_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, path = Clock(), write(tmp_path, LINE)
    file = TokenFile(path, clock)

    def still_there() -> bool:
        clock.tick()
        return file.find(SECRET) is not None

    for broken in (lambda: write(tmp_path, ""), lambda: write(tmp_path, f"{OTHER[:-1]}"), path.unlink):
        caplog.clear()
        broken()
        assert all(still_there() for _ in range(3))
        (record,) = caplog.records
        assert (record.levelname, record.getMessage()) == ("WARNING", "the old tokens are kept")
    write(tmp_path, LINE)
    assert still_there()
    path.unlink()
    caplog.clear()
    assert still_there()
    assert len(caplog.records) == 1  # it is told again after it was well meanwhile
