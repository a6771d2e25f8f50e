"""Who calls, what that is for, and which calls want which."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What a token is for, as its line says it."""

    CLASSIFY = "classify"
    ADMIN = "admin"
    METRICS = "metrics"


@dataclass(frozen=True)
class Caller:
    """Who brought a token that is known, and what it is for."""

    name: str
    scopes: frozenset[Scope]


PROBES: Final = frozenset({"ServerLive", "ServerReady", "ModelReady"})
"""They carry no token, and are answered to anybody unless the settings say otherwise."""
CHANGING: Final = frozenset({"RepositoryModelLoad", "RepositoryModelUnload"})
METRICS: Final = "/metrics"
"""No call, but who scrapes it is let in as callers are, where the settings say so."""


def scope_of(method: str) -> Scope | None:
    """What a token must be for to call it; None where any will do."""
    if method in PROBES:
        return None
    if method == METRICS:
        return Scope.METRICS
    return Scope.ADMIN if method in CHANGING else Scope.CLASSIFY
