"""What a person sees of a run as it goes on: a bar on a terminal, lines in the log elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fovea.progress import ProgressLog


def has_terminal() -> bool:
    return sys.stderr.isatty()


@contextmanager
def progress_bar(images: int, done: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere, between the log's lines for each shard, one every 30 s."""
    if not has_terminal():
        yield ProgressLog("scoring", images, done).advance
        return
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress("scoring", *columns, console=console) as bar:
        task = bar.add_task("scoring", total=images, completed=done, rate="")
        started, scored = time.perf_counter(), 0

        def advance(count: int) -> None:
            nonlocal scored
            scored += count
            rate = scored / (time.perf_counter() - started)
            bar.update(task, advance=count, rate=f"{rate:.0f} images/s")

        yield advance
