"""The keys that an issuer signs its tokens with: a JSON Web Key Set (RFC 7517) in a file, or at an address.

PyJWT's own client of such addresses blocks, takes no other key for 30 s after any answer, and has none left
where the issuer is away when its answer is five minutes old; so of PyJWT there is the reading of a set alone.
"""

import asyncio
import json
import logging
import math
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.error import URLError

from jwt import PyJWK

from fovea.errors import DataInvalid
from server.access.watched_file import MAX_FILE_BYTES, WatchedFile
from server.background import in_background
from server.errors import KeysUnreachable, Unauthenticated

logger = logging.getLogger(__name__)

ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""None whose key both sides know: who checks a token could make one."""

REFRESH_S: Final = 300.0
"""A set that is older is asked for anew, and used meanwhile."""
COOLDOWN_S: Final = 1.0
"""Between two questions to the issuer, however many tokens come whose key is not known."""
FETCH_S: Final = 5.0
"""The issuer has so long to answer."""
MAX_WAITING: Final = 64
"""Calls that wait for an issuer's answer; anybody can make up a key's name."""

Set = Mapping[str, PyJWK]
"""By their ids; a key without one has the id ""."""


class Keys(Protocol):
    """Keys by their ids."""

    @property
    def changes(self) -> int:
        """Another number when they are others. Asking also looks after them where they may be old."""

    async def find(self, key_id: str) -> PyJWK | None:
        """Raises KeysUnreachable where it cannot be told whether there is one."""


class KeyFile:
    """Of a file that others may replace."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises Unavailable, DataInvalid."""
        self._file = WatchedFile("--jwt-jwks", path, "keys", keys_of, clock)

    @property
    def changes(self) -> int:
        self._file.look()
        return self._file.changes

    async def find(self, key_id: str) -> PyJWK | None:
        return self._file.look().get(key_id)


class IssuersKeys:
    """Of an address: asked when a token comes whose key is not known, and now and then while any come.

    While the issuer is away those that it gave last are used. Belongs to the event loop.
    """

    def __init__(self, fetch: Callable[[], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        """`fetch` takes its time, and raises OSError, HTTPException or DataInvalid."""
        self._fetch = fetch
        self._clock = clock
        self._contents: bytes | None = None
        self._keys: Set = {}
        self._changes = 0
        self._asked = -math.inf
        self._asking: asyncio.Task[None] | None = None
        self._waiting = 0
        self._complaint = ""

    @property
    def changes(self) -> int:
        if self._clock() - self._asked > REFRESH_S:
            self._ask()
        return self._changes

    async def find(self, key_id: str) -> PyJWK | None:
        if key_id not in self._keys:
            await self._ask_from_now_on()
        if key_id not in self._keys and self._complaint:
            raise KeysUnreachable("the keys of the tokens' issuer cannot be had at present")
        return self._keys.get(key_id)

    async def _ask_from_now_on(self) -> None:
        """Returns when an answer is there that was asked for no earlier than now; many share one."""
        if self._waiting >= MAX_WAITING:
            raise Unauthenticated("the token is signed with a key that is not known here")
        came = self._clock()
        self._waiting += 1
        try:
            while self._asked < came:
                await asyncio.shield(self._ask())
        finally:
            self._waiting -= 1

    def _ask(self) -> "asyncio.Task[None]":
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._take())
            self._asking.add_done_callback(self._has_asked)
        return self._asking

    def _has_asked(self, _: "asyncio.Task[None]") -> None:
        self._asking = None

    async def _take(self) -> None:
        await asyncio.sleep(max(0.0, self._asked + COOLDOWN_S - self._clock()))
        self._asked = self._clock()
        try:
            # Nothing else bounds a slow resolver, or a head that trickles.
            async with asyncio.timeout(FETCH_S):
                contents = await in_background(self._fetch)
            self._hold(contents)
        except TimeoutError:
            self._complain(f"no answer after {FETCH_S:g} s")
        except (OSError, HTTPException, DataInvalid) as error:
            self._complain(str(error))
        else:
            self._complaint = ""

    def _hold(self, contents: bytes) -> None:
        """Raises DataInvalid."""
        if contents == self._contents:
            return
        self._keys = keys_of(contents)
        self._contents = contents
        self._changes += 1

    def _complain(self, complaint: str) -> None:
        if not self._complaint:
            logger.warning(
                "the issuer's keys cannot be had: the old ones are kept", extra={"error": complaint}
            )
        self._complaint = complaint or "no reason was given"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Who signs is not for another address to say."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fetch(url: str) -> bytes:
    """What is there. Raises OSError, HTTPException, DataInvalid."""
    until = time.monotonic() + FETCH_S
    contents = b""
    with urllib.request.build_opener(_NoRedirects()).open(url, timeout=FETCH_S) as response:
        while chunk := response.read1(64 * 1024):
            contents += chunk
            if len(contents) > MAX_FILE_BYTES:
                raise DataInvalid(f"more than {MAX_FILE_BYTES} bytes came")
            if time.monotonic() > until:
                raise URLError(f"not all was there after {FETCH_S:g} s")
    return contents


def keys_of(document: bytes) -> Set:
    """Those of a set that tokens can be checked with. Raises DataInvalid where there are none."""
    try:
        found = json.loads(document)["keys"]
        keys = [key for each in found if (key := _key_of(each))]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataInvalid(": is no JSON Web Key Set") from error
    if not keys:
        raise DataInvalid(f": holds no public key for {', '.join(sorted(ALGORITHMS))}")
    return {key.key_id or "": key for key in keys}


def _key_of(described: Any) -> PyJWK | None:
    """None for one of another kind, or for another use."""
    try:
        key = PyJWK(described)
    except Exception:  # what strange numbers make cryptography raise is not known; the others may be good
        return None
    is_for_tokens = key.public_key_use in ("sig", None) and isinstance(key.key_id, str | None)
    return key if is_for_tokens and key.algorithm_name in ALGORITHMS else None
