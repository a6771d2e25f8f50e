"""Work in threads whose results come in order, within a window of what is under way."""

import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Final, TypeVar

from fovea import daemons
from fovea.foreground import result_of

T = TypeVar("T")
R = TypeVar("R")

_Task = tuple["Future[R]", T]

STOP_GRACE_S: Final = 1.0


@dataclass(frozen=True)
class Window:
    """How far a stage runs ahead of its reader: never more items, nor more bytes unless it is one item."""

    items: int
    size_bytes: int = sys.maxsize


def ordered_map(
    function: Callable[[T], R],
    items: Iterable[T],
    threads: int,
    window: Window,
    size_bytes: Callable[[T], int] = lambda _: 0,
) -> Generator[R, None, None]:
    """`function` of each item, in the items' order, computed in `threads` threads ahead of the reader.

    Reads `items` only as far as `window` allows. An exception of `function` is raised where its result would
    have come. When the reader stops, what was not begun is dropped, and what was gets STOP_GRACE_S to end:
    the threads are daemons, so that a store that hangs cannot hold up the end of the program.
    """
    tasks: SimpleQueue[_Task[R, T] | None] = SimpleQueue()
    workers = [daemons.start(_work, function, tasks) for _ in range(threads)]
    pending: deque[tuple[Future[R], int]] = deque()
    pending_bytes = 0
    try:
        for item in items:
            size = size_bytes(item)
            while pending and (len(pending) >= window.items or pending_bytes + size > window.size_bytes):
                future, freed = pending.popleft()
                yield result_of(future)
                pending_bytes -= freed
            pending.append((Future(), size))
            pending_bytes += size
            tasks.put((pending[-1][0], item))
        while pending:
            yield result_of(pending.popleft()[0])
    finally:
        _stop(workers, tasks, [future for future, _ in pending])


def _work(function: Callable[[T], R], tasks: "SimpleQueue[_Task[R, T] | None]") -> None:
    while (task := tasks.get()) is not None:
        future, item = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(function(item))
        except BaseException as error:  # the reader of the result is who must hear of it
            future.set_exception(error)
        del task, future, item  # an image is not to be kept until the next one comes


def _stop(
    workers: list[Thread], tasks: "SimpleQueue[_Task[R, T] | None]", pending: list["Future[R]"]
) -> None:
    for future in pending:
        future.cancel()
    for _ in workers:
        tasks.put(None)
    deadline = time.monotonic() + STOP_GRACE_S
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
