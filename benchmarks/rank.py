"""One process of `benchmarks.ranks`: it trains an epoch for each line that it reads, and prints what it took.

    python -m benchmarks.rank SETTINGS FOLDER

Where RANK and WORLD_SIZE say so, it is a rank of several.
"""

import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Final, TextIO

from torch import nn

from benchmarks.sent_bytes import sent_bytes
from benchmarks.training import silent
from fovea.stopping import Stopping
from trainer.config import TrainSettings
from trainer.fit.loop import fit
from trainer.learning_rate.decision import fixed_rate
from trainer.preparation import Start, prepare
from trainer.ranks.group import ALONE, Ranks
from trainer.ranks.joining import invitation, joined
from trainer.recipe import recipe_of

PATIENCE_S: Final = 600


def main() -> None:
    settings, folder = TrainSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2])
    logging.disable(logging.WARNING)
    answers = sys.stdout
    with _ranks(settings) as ranks:
        start = prepare(settings, ranks)
        images = len(start.data.train) // settings.batch_size * settings.batch_size
        _say(answers, gradient_bytes=_gradient_bytes(start), images=images)
        for number, _ in enumerate(sys.stdin):
            _train(start, settings, folder / f"epoch-{number}", answers)


def _ranks(settings: TrainSettings) -> AbstractContextManager[Ranks]:
    invited = invitation(os.environ)
    return nullcontext(ALONE) if invited is None else joined(invited, settings.device, PATIENCE_S)


def _gradient_bytes(start: Start) -> int:
    return sum(parameter.nbytes for parameter in start.checkpoint.network.parameters())


def _train(start: Start, settings: TrainSettings, run: Path, answers: TextIO) -> None:
    if start.ranks.is_first:
        run.mkdir(parents=True)
    recipe = recipe_of(settings, start, fixed_rate(1e-3))
    cpu_s = time.process_time()
    with silent(), _sent_by_step(start.checkpoint.network) as sent:
        _, (epoch,) = fit(
            start.checkpoint, start.data, recipe, start.precision, Stopping(), run, ranks=start.ranks
        )
    _say(
        answers,
        train_s=epoch.train_s,
        cpu_s=time.process_time() - cpu_s,
        sent_bytes=statistics.median(after - before for before, after in pairwise(sent)),
    )


@contextmanager
def _sent_by_step(network: nn.Module) -> Iterator[list[int]]:
    """How much this process had sent as each step began."""
    seen: list[int] = []

    def note(*_: object) -> None:
        if network.training:
            seen.append(sent_bytes())

    hook = network.register_forward_pre_hook(note)
    try:
        yield seen
    finally:
        hook.remove()


def _say(answers: TextIO, **values: float) -> None:
    print(json.dumps(values), file=answers, flush=True)


if __name__ == "__main__":
    main()
