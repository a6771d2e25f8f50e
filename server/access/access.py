"""Whether a call may be answered: who makes it, by its token, and whether that token is for such calls."""

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from fovea.errors import extra_missing
from server.access.scopes import Caller, scope_of
from server.access.tokens import TokenFile
from server.config import ServeSettings
from server.errors import PermissionDenied, Unauthenticated

if TYPE_CHECKING:
    from server.access.web_tokens import WebTokens

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

    def __init__(
        self, tokens: TokenFile | None, web_tokens: "WebTokens | None" = None, *, open_health: bool = True
    ) -> None:
        """With `open_health` probes need no token."""
        self._tokens = tokens
        self._web_tokens = web_tokens
        self._open_health = open_health

    @property
    def kind(self) -> str:
        """`tokens`, `jwt` or `tokens+jwt`."""
        kinds = {"tokens": self._tokens, "jwt": self._web_tokens}
        return "+".join(kind for kind, source in kinds.items() if source is not None)

    async def check(self, method: str, call: Presented) -> str:
        """The name of the token; empty where the method needs none.

        Raises Unauthenticated, PermissionDenied, KeysUnreachable.
        """
        scope = scope_of(method)
        if scope is None and self._open_health:
            return ""
        caller = await self._caller_of(_bearer_of(call.invocation_metadata() or ()))
        if scope is not None and scope not in caller.scopes:
            raise PermissionDenied(
                caller.name, f"{method} needs a token for {scope}, and that of {caller.name} is not for it"
            )
        return caller.name

    async def _caller_of(self, token: str) -> Caller:
        if self._tokens and (known := self._tokens.find(token)):
            return known
        if self._web_tokens and token.count(".") == 2:  # as they all have, and those of the command have not
            return await self._web_tokens.find(token)
        raise Unauthenticated("the token is none of those that are known here")


def access_of(settings: ServeSettings) -> Access | None:
    """None where anybody may call.

    Raises Unavailable, DataInvalid for the file of tokens or keys, ExtraMissing where PyJWT is not installed.
    """
    tokens = TokenFile(settings.token_file) if settings.token_file is not None else None
    web_tokens = _web_tokens_of(settings)
    if not (tokens or web_tokens):
        return None
    return Access(tokens, web_tokens, open_health=settings.open_health)


def _web_tokens_of(settings: ServeSettings) -> "WebTokens | None":
    source, issuer, audience = settings.jwt_jwks, settings.jwt_issuer, settings.jwt_audience
    if source is None or issuer is None or audience is None:
        return None
    try:
        import cryptography  # noqa: F401 - without which PyJWT knows no public keys

        from server.access.keys import IssuersKeys, KeyFile, fetch
        from server.access.web_tokens import WebTokens
    except ModuleNotFoundError as error:
        raise extra_missing(error, "--jwt-jwks", "jwt") from error
    keys = IssuersKeys(partial(fetch, source)) if "://" in source else KeyFile(Path(source))
    return WebTokens(keys, issuer, audience)


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
