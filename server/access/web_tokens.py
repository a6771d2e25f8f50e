"""Tokens that an issuer has signed: JSON Web Tokens (RFC 7519), checked by its public keys."""

import time
from collections.abc import Callable
from typing import Any, Final

import jwt

from fovea.printable import shortened
from server.access.keys import Keys
from server.access.scopes import Caller, Scope
from server.access.tokens import digest_of
from server.errors import Unauthenticated

LEEWAY_S: Final = 30.0
"""Clocks differ."""
MAX_KNOWN: Final = 1000
"""Tokens that need not be checked anew, each some microseconds instead of a tenth of a millisecond."""
LONGEST_NAME: Final = 100

_REQUIRED: Final = ["exp", "iss", "aud", "sub"]
"""PyJWT takes a token without `exp` for good for ever."""


class WebTokens:
    """Those of one issuer, for one audience. Belongs to the event loop."""

    def __init__(
        self, keys: Keys, issuer: str, audience: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._known: dict[bytes, tuple[Caller, float]] = {}
        """By their digests, with when they expire."""
        self._known_by = 0
        """The change of the keys that they were checked with."""

    async def find(self, token: str) -> Caller:
        """Raises Unauthenticated, KeysUnreachable."""
        digest = digest_of(token)
        self._forget_if_keys_changed()
        if (known := self._known.get(digest)) is not None and self._clock() < known[1] + LEEWAY_S:
            return known[0]
        claims = await self._claims_of(token)
        caller = Caller(shortened(str(claims["sub"]), LONGEST_NAME), _scopes_of(claims))
        self._forget_if_keys_changed()
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[digest] = caller, float(claims["exp"])
        return caller

    def _forget_if_keys_changed(self) -> None:
        if self._known_by != self._keys.changes:
            self._known_by = self._keys.changes
            self._known.clear()

    async def _claims_of(self, token: str) -> dict[str, Any]:
        try:
            key = await self._keys.find(str(jwt.get_unverified_header(token).get("kid", "")))
            if key is None:
                raise Unauthenticated("the token is signed with a key that is not known here")
            return jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],  # what the token itself says of it decides nothing
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Unauthenticated(f"the token does not hold here: {_why(error)}") from None


def _why(error: Exception) -> str:
    """PyJWT's words name claims and never their values; others' may hold anything."""
    return str(error) if isinstance(error, jwt.PyJWTError) else "it is damaged"


def _scopes_of(claims: dict[str, Any]) -> frozenset[Scope]:
    """The audience says that it may classify; what else it is for it must say by itself (RFC 9068, Entra)."""
    words = claims.get("scope", claims.get("scp", ""))
    granted = words.split() if isinstance(words, str) else words
    known = [scope for scope in Scope if scope in granted] if isinstance(granted, list) else []
    return frozenset([Scope.CLASSIFY, *known])
