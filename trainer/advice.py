"""Should more epochs be run? Said in words."""

from trainer.history import EpochRecord

OVERFITTED = 1.05
"""A held-out loss of this many times its best is overfitting, if the training loss fell on."""


def after_cycle(before: float, after: float, epochs: int, upcoming: int | None, *, goes_on: bool) -> str:
    """What the held-out loss (nats) did over a cycle, and what follows.

    `upcoming` is the length of the next cycle, None where no more was asked for.
    """
    moved = "fell" if after < before else "did not fall"
    text = f"held-out loss {moved} from {before:.4f} to {after:.4f} over {_count(epochs)}"
    if upcoming is None:
        return f"{text}: no more epochs were asked for"
    if not goes_on:
        return f"{text}: stopping here"
    hope = "" if after < before else ", which is early to tell"
    return f"{text}{hope}: running {upcoming} more {'epoch' if upcoming == 1 else 'epochs'}"


def advise(records: list[EpochRecord], before: float, run: str, *, stopped_improving: bool) -> str:
    """What to try next, after all epochs of the run with that id.

    `records` are those that --epochs counts, without the frozen ones; `before` is the held-out loss that they
    began at.
    """
    if stopped_improving:
        return (
            "held-out loss stopped falling: more of the same will hardly help; a lower --lr, more epochs at "
            "once (--epochs N), or more or cleaner images may"
        )
    if not records:
        return "nothing was trained"
    more = f"run more epochs with `--continue-from {run} --epochs {max(2, 2 * len(records))}`"
    if len(records) == 1:
        return _after_one(records[0].heldout_loss < before, more)
    return _after_several(records, records[-1].heldout_loss < before, more)


def _after_one(fell: bool, more: str) -> str:
    if fell:
        return f"one epoch is a start, and held-out loss fell: {more}"
    return f"held-out loss did not fall in the one epoch, which is early to tell: {more}"


def _after_several(records: list[EpochRecord], fell: bool, more: str) -> str:
    best = min(records, key=lambda record: record.heldout_loss)
    last = records[-1]
    if last.heldout_loss > OVERFITTED * best.heldout_loss and last.train_loss < best.train_loss:
        return f"overfitting since epoch {best.epoch}: try --epochs {records.index(best) + 1}, or add images"
    if last.heldout_loss <= best.heldout_loss:
        state = "" if fell else "not yet below where it began, but "
        return f"held-out loss was {state}still falling at the end: {more}"
    if fell:
        return f"held-out loss has settled (best at epoch {best.epoch}): more epochs will change little"
    return "held-out loss is not below where it began: a lower --lr may help, or more or cleaner images"


def _count(epochs: int) -> str:
    return "1 epoch" if epochs == 1 else f"{epochs} epochs"
