"""The file of tokens: a line each, with the name of who has it, what it is for, and its sha256.

A plain sha256 is enough, because a token is 256 random bits: nobody comes upon one by trying, and salt and
slow hashes are for secrets that people think up.
"""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from fovea.errors import DataInvalid, FoveaError, Unavailable
from server.access.scopes import Scope

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
"""A token that was taken out of the file is good for so long."""
MAX_FILE_BYTES: Final = 1024 * 1024
MAX_TOKENS: Final = 1000
"""Each call is compared with all of them."""

LINE: Final = "NAME SCOPES SHA256"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Token:
    """One line: who has it, what it is for, and the sha256 that tells it."""

    name: str
    scopes: frozenset[Scope]
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
    """The tokens of a file, which is read again where it has changed.

    Whoever replaces it (Kubernetes swaps a link, others write in place) need not restart the server. Belongs
    to the event loop that asks it: a read of a small local file once a second holds up nobody.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises Unavailable for a file that cannot be read, DataInvalid for one that holds no tokens."""
        self._path = path
        self._clock = clock
        self._contents = self._read()
        self._tokens = self._parse(self._contents)
        self._looked = clock()
        self._complaint = ""

    def find(self, secret: str) -> Token | None:
        """Takes as long whichever of them it is, and whether or not it is one."""
        self._look_now_and_then()
        digest, found = digest_of(secret), None
        for token in self._tokens:
            if hmac.compare_digest(digest, token.digest):
                found = token
        return found

    def _look_now_and_then(self) -> None:
        """Compares contents, for times can lie."""
        now = self._clock()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        try:
            self._take(self._read())
        except FoveaError as error:
            self._complain(str(error))
        else:
            self._complaint = ""

    def _take(self, contents: bytes) -> None:
        if contents == self._contents:
            return
        self._tokens = self._parse(contents)
        self._contents = contents
        logger.info("tokens replaced", extra={"path": str(self._path), "tokens": len(self._tokens)})

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            logger.warning("the old tokens are kept", extra={"error": complaint})
        self._complaint = complaint

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                contents = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise Unavailable(f"{self._named}: cannot be read: {error.strerror}") from error
        if len(contents) > MAX_FILE_BYTES:
            raise DataInvalid(f"{self._named}: has more than {MAX_FILE_BYTES} bytes")
        return contents

    def _parse(self, contents: bytes) -> list[Token]:
        try:
            lines = contents.decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise DataInvalid(f"{self._named}: is not a file of text") from error
        found: dict[bytes, tuple[int, Token]] = {}
        for number, line in enumerate(map(str.strip, lines), 1):
            if line and not line.startswith("#"):
                self._add(found, number, line)
        if not found:  # as while it is being written; whoever wants to keep all out removes their lines
            raise DataInvalid(f"{self._named}: holds no token; python -m server.access NAME makes one")
        return [token for _, token in found.values()]

    def _add(self, found: dict[bytes, tuple[int, Token]], number: int, line: str) -> None:
        try:
            token = Token.parse(line)
            if token.digest in found:
                raise ValueError(f"is for the same token as line {found[token.digest][0]}")
            if len(found) == MAX_TOKENS:
                raise ValueError(f"there are more than {MAX_TOKENS} tokens")
        except ValueError as error:
            raise DataInvalid(f"{self._named}, line {number}: {error}") from None
        found[token.digest] = number, token

    @property
    def _named(self) -> str:
        return f"--token-file {self._path}"
