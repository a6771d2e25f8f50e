"""What calls say of who makes them: a token, or that of a file, which is read again as it changes."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from fovea.client.channel import PathOrName
from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from fovea.sticky import STICKY_KEY

LOOK_EVERY_S: Final = 1.0
"""A token that was replaced is sent for so long, at most."""
MAX_TOKEN_BYTES: Final = 8 * 1024
"""Of all that comes with a call, gRPC's servers take no more by default."""

Metadata = tuple[tuple[str, str], ...]
Bearer = Callable[[], Metadata | None]
"""Gives the metadata of the next call."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_WHAT: Final = "a token is letters, digits and -._~+/, with = at its end alone"


def bearer(token: str | None = None, token_file: PathOrName | None = None) -> Bearer:
    """Of neither, calls say nothing.

    Raises SettingsInvalid for both, or for what is no token; of a file Unavailable where it cannot be read,
    DataInvalid where it holds no token. What they hold stands in no error.
    """
    if token is not None and token_file is not None:
        raise SettingsInvalid(f"a token and a file of one ({token_file}) are given: one of them is meant")
    if token_file is not None:
        return _TokenFile(token_file).metadata
    if token is None:
        return lambda: None
    if not _is_token(token):
        raise SettingsInvalid(f"the token that is given is none: {_WHAT}")
    metadata = _metadata_of(token)
    return lambda: metadata


def with_key(metadata: Metadata | None, sticky_key: str) -> Metadata | None:
    """And what the call is known by. Raises ValueError for a key that metadata cannot have."""
    if not sticky_key:
        return metadata
    if not (sticky_key.isascii() and sticky_key.isprintable()):
        raise ValueError(f"sticky_key must be printable ASCII, not {sticky_key!r}")
    return (*(metadata or ()), (STICKY_KEY, sticky_key))


class _TokenFile:
    """A file that others replace before its token expires, as the kubelet does."""

    def __init__(self, path: PathOrName) -> None:
        self._path = path
        self._metadata = self._read()
        self._looked = time.monotonic()

    def metadata(self) -> Metadata:
        """While the file is missing, or half written, that of before."""
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            with suppress(Unavailable, DataInvalid):  # the server says so, if the old one is over
                self._metadata = self._read()
        return self._metadata

    def _read(self) -> Metadata:
        try:
            with open(self._path, "rb") as file:  # noqa: PTH123 - pathlib would be a sixth of what the client loads
                contents = file.read(MAX_TOKEN_BYTES + 1)
        except OSError as error:
            raise Unavailable(f"the token file {self._path} cannot be read: {error.strerror}") from error
        token = contents.decode("ascii", "replace").strip()
        if len(contents) > MAX_TOKEN_BYTES or not _is_token(token):
            raise DataInvalid(f"the token file {self._path} holds no token: {_WHAT}")
        return _metadata_of(token)


def _is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def _metadata_of(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)
