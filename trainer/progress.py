"""What a run shows while it goes on: a bar on a terminal; elsewhere a JSON line an epoch, and a line in the
log every 30 s."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from fovea import tracing
from fovea.progress import logged
from fovea.stopping import raise_lost
from trainer.runs.history import EpochRecord

T = TypeVar("T")

_console = Console()


def show_progress(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """The first `total` items, with a bar where stdout is a terminal, and else with lines in the log."""
    checked = map(_raise_if_stopped, islice(items, total))
    if not sys.stdout.isatty():
        return logged(checked, description, total)
    return iter(track(checked, description, total, console=_console, transient=True))


def _raise_if_stopped(item: T) -> T:
    raise_lost()
    return item


def show_epoch(record: EpochRecord) -> None:
    """Also as a span, where there are any."""
    tracing.past(
        "epoch",
        record.seconds,
        epoch=record.epoch,
        train_loss=record.train_loss,
        heldout_loss=record.heldout_loss,
        heldout_accuracy=record.heldout_accuracy,
    )
    if not sys.stdout.isatty():
        print(json.dumps(record.brief()), flush=True)
        return
    worth = f"accuracy {record.heldout_accuracy:.2%}"
    if record.heldout_map is not None:
        worth = f"mAP {record.heldout_map:.2%}"
    _console.print(
        f"epoch {record.epoch:>3}   train loss {record.train_loss:.4f}   held-out loss "
        f"{record.heldout_loss:.4f}   {worth}   {record.seconds:.1f} s"
    )
