"""Versions that are not served, and why: whole for the log, without our folders for callers."""

import re
from dataclasses import dataclass

from fovea.errors import FoveaError
from fovea.stores.storage import Entry


@dataclass(frozen=True)
class Refusal:
    """Holds while the version's files stay as they are."""

    state: tuple[Entry, ...]
    reason: str
    """For whoever runs the server."""
    public_reason: str
    """To callers."""


def refusal_of(version: int, state: tuple[Entry, ...], error: Exception, *places: str) -> Refusal:
    """`places` are the folders that versions lie in: callers do not learn where that is."""
    if not isinstance(error, FoveaError):
        # What is in the message of a runtime's own exception is not known.
        public_reason = "it fails in a way that was not foreseen; the server's log says more"
        return Refusal(state, f"{type(error).__name__}: {error}", public_reason)
    public_reason = str(error)
    for place in places:  # a version that was copied has its digest behind its number
        public_reason = re.sub(rf"{re.escape(place)}/{version}(-[0-9a-f]+)?(/|: )?", "", public_reason)
    return Refusal(state, str(error), public_reason)
