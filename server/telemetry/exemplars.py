"""The trace that a histogram's bucket names as its example."""

from contextvars import ContextVar
from typing import Final

EXEMPLAR: Final[ContextVar[dict[str, str] | None]] = ContextVar("exemplar", default=None)
"""Of the call that is being answered, where its trace is kept."""
