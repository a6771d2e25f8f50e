"""`python -m server.access`: a token that nobody guesses, and the line that knows it."""

import sys
from pathlib import Path

import pytest

from fovea.errors import ExitCode, SettingsInvalid
from server.access.__main__ import main
from server.access.scopes import Scope
from server.access.tokens import TokenFile


def made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[str, str]:
    monkeypatch.setattr(sys, "argv", ["server.access", *arguments])
    assert main() is ExitCode.DONE
    secret, line = capsys.readouterr().out.splitlines()
    return secret, line


def test_the_line_that_is_printed_lets_the_token_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret, line = made(monkeypatch, capsys, "nightly")
    other, other_line = made(monkeypatch, capsys, "ops@team", "--scopes", "classify, admin, metrics")
    assert len({secret, other}) == 2
    assert min(len(secret), len(other)) >= 43  # 256 bits, 6 a letter
    assert secret not in line
    path = tmp_path / "tokens"
    path.write_text(f"{line}\n{other_line}\n")
    file = TokenFile(path)
    found = [(token.name, token.scopes) for token in map(file.find, (secret, other)) if token]
    assert found == [("nightly", frozenset([Scope.CLASSIFY])), ("ops@team", frozenset(Scope))]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "NAME .* is missing: whose token it is"),
        (("a name",), "NAME .*: must be letters, digits and"),
        (("nightly", "--scopes", "all"), "--scopes .*: a scope is classify or admin"),
        (("nightly", "--scopes", ""), "--scopes .*: a scope is classify or admin"),
    ],
)
def test_what_fits_no_line_is_refused_before_a_token_is_made(
    arguments: tuple[str, ...], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["server.access", *arguments])
    with pytest.raises(SettingsInvalid, match=f"^{complaint}"):
        main()
