"""`python -m trainer`, whose ranks, each this module too, find the disk full when they are to stop."""

from collections.abc import Mapping
from pathlib import Path

from fovea import exits, stopping
from fovea.errors import Unavailable
from trainer import __main__ as program
from trainer.network.checkpoint import Checkpoint

_save = Checkpoint.save


def _save_while_nobody_stops(
    checkpoint: Checkpoint, run: Path, training: Mapping[str, object], after_epoch: bool = False
) -> None:
    if stopping._current is not None and stopping._current.due:
        raise Unavailable("there is no room left")
    _save(checkpoint, run, training, after_epoch)


Checkpoint.save = _save_while_nobody_stops  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    exits.run(program.main)
