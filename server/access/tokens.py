"""The file of tokens: a line each, with the name of who has it, what it is for, and its sha256.

A plain sha256 is enough, because a token is 256 random bits: nobody comes upon one by trying, and salt and
slow hashes are for secrets that people think up.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from fovea.errors import DataInvalid
from server.access.scopes import Caller, Scope
from server.access.watched_file import WatchedFile

MAX_TOKENS: Final = 1000
"""Each call is compared with all of them."""

LINE: Final = "NAME SCOPES SHA256"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Token(Caller):
    """One line: who has it, what it is for, and the sha256 that tells it."""

    digest: bytes

    @classmethod
    def of(cls, secret: str, name: str, scopes: Iterable[Scope]) -> Self:
        return cls(name, frozenset(scopes), digest_of(secret))

    @classmethod
    def parse(cls, line: str) -> Self:
        """Raises ValueError, which says nothing of the line's own words: one of them may be a token."""
        words = line.split()
        if len(words) != 3:
            raise ValueError(f"has {len(words)} words, not the three of {LINE}")
        name, scopes, digest = words
        if not is_name(name):
            raise ValueError("the name has other characters than letters, digits and ._@-, or over 63")
        if not _SHA256.fullmatch(digest):
            raise ValueError("the third word is no sha256 in hex, which has 64 digits")
        return cls(name, frozenset(scopes_of(scopes)), bytes.fromhex(digest))

    @property
    def line(self) -> str:
        return f"{self.name} {','.join(sorted(self.scopes))} {self.digest.hex()}"


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def scopes_of(text: str) -> Iterator[Scope]:
    """Of `classify,admin`. Raises ValueError."""
    for word in text.split(","):
        if word not in [*Scope]:
            raise ValueError(f"a scope is {' or '.join(Scope)}, several with a comma and no space between")
        yield Scope(word)


class TokenFile:
    """The tokens of a file, which is read again where it has changed."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises Unavailable for a file that cannot be read, DataInvalid for one that holds no tokens."""
        self._file = WatchedFile("--token-file", path, "tokens", tokens_of, clock)

    def find(self, secret: str) -> Token | None:
        """Takes as long whichever of them it is, and whether or not it is one."""
        digest, found = digest_of(secret), None
        for token in self._file.look():
            if hmac.compare_digest(digest, token.digest):
                found = token
        return found


def tokens_of(contents: bytes) -> list[Token]:
    """Raises DataInvalid, whose text begins with the place."""
    try:
        lines = contents.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataInvalid(": is not a file of text") from error
    found: dict[bytes, tuple[int, Token]] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            _add(found, number, line)
    if not found:  # as while it is being written
        raise DataInvalid(": holds no token; python -m server.access NAME makes one")
    return [token for _, token in found.values()]


def _add(found: dict[bytes, tuple[int, Token]], number: int, line: str) -> None:
    try:
        token = Token.parse(line)
        if token.digest in found:
            raise ValueError(f"is for the same token as line {found[token.digest][0]}")
        if len(found) == MAX_TOKENS:
            raise ValueError(f"there are more than {MAX_TOKENS} tokens")
    except ValueError as error:
        raise DataInvalid(f", line {number}: {error}") from None
    found[token.digest] = number, token
