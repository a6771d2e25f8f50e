"""How what died, or could not be had, is tried again: at once, then ever more seldom."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from fovea.errors import FoveaError

logger = logging.getLogger(__name__)

RESTART_AFTER_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses before a process that died is started again, by how often it did so without computing anything."""


class Restarts:
    """Of a process that died, or of a model that cannot be loaded."""

    def __init__(self) -> None:
        self.count = 0
        """Since it last did what it is for."""

    async def pause(self) -> None:
        """Before the next one, which counts."""
        await asyncio.sleep(RESTART_AFTER_S[min(self.count, len(RESTART_AFTER_S) - 1)])
        self.count += 1

    async def open_again(self, open_process: Callable[[], Awaitable[object]]) -> None:
        """Tries to, after a pause; the log is told why that fails."""
        await self.pause()
        try:
            await open_process()
        except Exception as error:  # whatever a machine in need gives as its reason
            unforeseen = None if isinstance(error, FoveaError) else error
            reason = {"reason": str(error)}
            logger.error("a compute process does not start again", extra=reason, exc_info=unforeseen)
