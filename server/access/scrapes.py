"""Who may see the metrics: threads that answer scrapers ask it, and the event loop of the calls knows."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import CancelledError
from http import HTTPStatus
from typing import Final

from server.access.access import AUTHORIZATION, Access
from server.access.scopes import METRICS
from server.config import ServeSettings
from server.errors import KeysUnreachable, PermissionDenied, Unauthenticated

PATIENCE_S: Final = 8.0
"""Less than a scraper has, which is ten seconds by default."""


class Scrapes:
    """Belongs to the event loop that it is made in, and is asked from other threads."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._loop = asyncio.get_running_loop()

    def refusal(self, authorization: Sequence[str]) -> HTTPStatus | None:
        """What to end a scrape with that brings these headers; None where it may be answered."""
        check = self._access.check(METRICS, _Scrape(authorization))
        try:
            asyncio.run_coroutine_threadsafe(check, self._loop).result(PATIENCE_S)
        except Unauthenticated:
            return HTTPStatus.UNAUTHORIZED
        except PermissionDenied:
            return HTTPStatus.FORBIDDEN
        except (KeysUnreachable, TimeoutError, CancelledError):
            return HTTPStatus.SERVICE_UNAVAILABLE
        return None


def scrapes_of(settings: ServeSettings, access: Access | None) -> Scrapes | None:
    """None where anybody may see the metrics."""
    return None if access is None or settings.open_metrics else Scrapes(access)


class _Scrape:
    """As much of a call as says who makes it."""

    def __init__(self, authorization: Sequence[str]) -> None:
        self._authorization = authorization

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        return [(AUTHORIZATION, value) for value in self._authorization]
