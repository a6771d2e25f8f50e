"""Should more epochs be run? Said in words, and no louder than the held-out images can tell.

A difference of two held-out losses within the standard error of one is taken for noise. The errors of two
epochs on the same images go together, so that theirs is smaller than twice as large: this errs towards saying
nothing.
"""

from trainer.runs.history import EpochRecord

OVERFITTED = 1.05
"""A held-out loss of this many times its best is overfitting, if the training loss fell on."""


def describe_cycle(
    before: float, after: float, error: float, epochs: int, upcoming: int | None, *, goes_on: bool
) -> str:
    """What the held-out loss (nats, with its standard error) did over a cycle, and what follows.

    `upcoming` is the length of the next cycle, None where no more was asked for.
    """
    moved = "fell" if after < before else "did not fall"
    noise = f", within its standard error of {error:.4f}" if abs(after - before) <= error else ""
    text = f"held-out loss {moved} from {before:.4f} to {after:.4f} over {_epochs(epochs)}{noise}"
    if upcoming is None:
        return f"{text}: no more epochs were asked for"
    if not goes_on:
        return f"{text}: stopping here"
    caveat = "" if after < before else ", which is early to tell"
    return f"{text}{caveat}: running {upcoming} more {'epoch' if upcoming == 1 else 'epochs'}"


def advise(
    records: list[EpochRecord],
    before: float,
    run: str,
    *,
    stopped_improving: bool,
    continued: bool = False,
    annealed: bool = True,
) -> str:
    """What to try next, after all epochs of the run with that id.

    `records` are those that --epochs counts, without the frozen ones; `before` is the held-out loss that they
    began at; `continued` where that was the end of another run; `annealed` where the learning rate comes down
    at the end of a cycle, whereupon any loss flattens: that alone never says that more epochs are in vain.
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
        return _after_one(before - records[0].heldout_loss, records[0].heldout_error, more)
    return _overfitted(records) or _after_several(
        records, before, more, continued=continued, annealed=annealed
    )


def _after_one(fell_by: float, error: float, more: str) -> str:
    if fell_by > error:
        return f"one epoch is a start, and held-out loss fell: {more}"
    no_fall = f"held-out loss did not fall by more than {_noise(error)} in the one epoch"
    return f"{no_fall}, which is early to tell: {more}"


def _overfitted(records: list[EpochRecord]) -> str | None:
    best, last = min(records, key=lambda record: record.heldout_loss), records[-1]
    rose_by = last.heldout_loss - best.heldout_loss
    # Twice, for the best is the lowest of many.
    if rose_by <= max(2 * last.heldout_error, (OVERFITTED - 1) * best.heldout_loss):
        return None
    if last.train_loss >= best.train_loss:
        return None
    return f"overfitting since epoch {best.epoch}: try --epochs {records.index(best) + 1}, or add images"


def _after_several(
    records: list[EpochRecord], before: float, more: str, *, continued: bool, annealed: bool
) -> str:
    last, error = records[-1].heldout_loss, records[-1].heldout_error
    fell = before - last > error
    if min(record.heldout_loss for record in records[:-1]) - last > error:
        state = "" if fell else "not yet below where it began, but "
        return f"held-out loss was {state}still falling at the end: {more}"
    if fell and annealed:
        return (
            f"held-out loss fell, and in the last epoch by no more than {_noise(error)}, as it does wherever "
            f"a cycle's learning rate comes down: only more epochs can tell whether they help; {more}"
        )
    if fell or (continued and abs(before - last) <= error):
        span = "the last epoch" if fell else f"{_epochs(len(records))} more"
        return f"held-out loss has settled: {span} moved it by no more than {_noise(error)}"
    return (
        f"held-out loss is not below where it began by more than {_noise(error)}: a lower --lr may help, or "
        "more or cleaner images"
    )


def _noise(error: float) -> str:
    return f"its standard error ({error:.4f})"


def _epochs(epochs: int) -> str:
    return "1 epoch" if epochs == 1 else f"{epochs} epochs"
