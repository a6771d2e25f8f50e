"""Connections whose TLS has not begun: bounded by themselves, since nobody knows yet who they are."""

import asyncio
from typing import Any


class Handshakes:
    """Those that are under way. Belongs to the event loop."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], None] = {}
        """The oldest first."""

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, most: int) -> None:
        """One more, in the present task: asyncio makes a connection's protocol in it, then shakes hands.

        The oldest gives way: whoever means it has done with it in milliseconds.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - see above
        while len(self._tasks) >= most:
            oldest = next(iter(self._tasks))
            del self._tasks[oldest]
            oldest.cancel()
        self._tasks[task] = None
        task.add_done_callback(lambda _: self._tasks.pop(task, None))
