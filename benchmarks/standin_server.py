"""The server with an engine that costs nothing, so that what is measured is all but the computing.

`python -m benchmarks.standin_server` takes what `python -m server` does. Every image gets the same answer,
and none is decoded.
"""

import asyncio
import sys
from typing import Final

import numpy as np

from fovea import entry
from fovea.errors import ExitCode
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import CPU
from server.compute.backend import WorkItem
from server.compute.engine import Engine
from server.config import ServeSettings
from server.models import watcher
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.worker import Batch, Computed, Owner

MAX_BATCH_SIZE: Final = 16


class FreeWorker:
    """Has each batch computed in the next turn of the event loop."""

    capacity = 1

    def __init__(self, classes: int) -> None:
        self._row = np.full(classes, 1 / classes, np.float32)

    def attach(self, owner: Owner[WorkItem]) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        owner.available(self)

    def start(self, batch: Batch[WorkItem]) -> None:
        self._loop.call_soon(self._finish, batch)

    async def end(self) -> None:
        pass

    def _finish(self, batch: Batch[WorkItem]) -> None:
        count = len(batch.items)
        self._owner.finished(batch, Computed([self._row] * count, [0.001] * count, 0.0, 0.0))


async def open_free_engine(
    bundle: ModelBundle,
    settings: ServeSettings,
    shared: object = None,
    device: object = None,
    *,
    is_spare: bool = False,
) -> Engine:
    """Takes what `open_engine` does."""
    worker = FreeWorker(len(bundle.contract.labels))
    limits = BatchLimits(settings.max_batch_size or MAX_BATCH_SIZE)
    return Engine(bundle, CPU, "fp32", [worker], limits, CostModel(), decode_ahead=False)


def main() -> ExitCode:
    from server.__main__ import main as serve

    watcher.open_engine = open_free_engine  # type: ignore[attr-defined]
    return serve()


if __name__ == "__main__":
    sys.argv[0] = "server"
    entry.run("benchmarks.standin_server")
