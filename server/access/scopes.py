"""Who calls, what that is for, and which calls want which."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What a token is for, as its line says it."""

    CLASSIFY = "classify"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Who brought a token that is known, and what it is for."""

    name: str
    scopes: frozenset[Scope]


OPEN: Final = frozenset({"ServerLive", "ServerReady", "ModelReady"})
"""What probes ask, who carry no token; they are answered to anybody, as gRPC's health is."""
CHANGING: Final = frozenset({"RepositoryModelLoad", "RepositoryModelUnload"})


def scope_of(method: str) -> Scope | None:
    """What a token must be for to call it; None where none is needed."""
    if method in OPEN:
        return None
    return Scope.ADMIN if method in CHANGING else Scope.CLASSIFY
