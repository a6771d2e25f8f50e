"""Whether a call may be answered: who makes it, by its token, and whether that token is for such calls."""

import re
from collections.abc import Iterable
from typing import Final, Protocol

from server.access.scopes import scope_of
from server.access.tokens import Token, TokenFile
from server.config import ServeSettings
from server.errors import PermissionDenied, Unauthenticated

AUTHORIZATION: Final = "authorization"
"""The metadata of gRPC, and the header of HTTP, that a token comes in: RFC 6750."""

_BEARER: Final = re.compile(r"bearer +([a-z0-9._~+/-]+=*) *", re.ASCII | re.IGNORECASE)
_SEND: Final = "send it as `authorization: Bearer TOKEN`"

Metadata = Iterable[tuple[str, str | bytes]]


class Presented(Protocol):
    """A call, as far as it says who makes it."""

    def invocation_metadata(self) -> Metadata | None: ...


class Access:
    """Asks each call for its token. One of a process, in its event loop."""

    kind: Final = "tokens"

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens = tokens

    def check(self, method: str, call: Presented) -> str:
        """The name of the token; empty where the method needs none.

        Raises Unauthenticated, PermissionDenied.
        """
        scope = scope_of(method)
        if scope is None:
            return ""
        token = self._token_of(call)
        if scope not in token.scopes:
            raise PermissionDenied(
                token.name, f"{method} needs a token for {scope}, and that of {token.name} is not for it"
            )
        return token.name

    def _token_of(self, call: Presented) -> Token:
        token = self._tokens.find(_bearer_of(call.invocation_metadata() or ()))
        if token is None:
            raise Unauthenticated("the token is none of those that are known here")
        return token


def access_of(settings: ServeSettings) -> Access | None:
    """None where anybody may call. Raises Unavailable, DataInvalid for the file of tokens."""
    return None if settings.token_file is None else Access(TokenFile(settings.token_file))


def kind_of(access: Access | None) -> str:
    """In a word, for the log."""
    return access.kind if access else "open"


def _bearer_of(metadata: Metadata) -> str:
    """Raises Unauthenticated. What was sent in its place is not said again: it may be somebody's password."""
    given = [value for name, value in metadata if name == AUTHORIZATION]
    if not given:
        raise Unauthenticated(f"a token is needed: {_SEND}")
    value = given[0] if len(given) == 1 else ""
    bearer = _BEARER.fullmatch(value) if isinstance(value, str) else None
    if bearer is None:
        raise Unauthenticated(f"the authorization that was sent is not one token: {_SEND}")
    return bearer[1]
