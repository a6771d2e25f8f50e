"""Should more epochs be run? Said in words."""

from trainer.history import EpochRecord

OVERFITTED = 1.05
"""A held-out loss of this many times its best is overfitting, if the training loss fell on."""


def after_cycle(before: float, after: float, epochs: int, next_epochs: int | None) -> str:
    """What the held-out loss (nats) did over a cycle, and what follows: `next_epochs` more, or the end."""
    moved = "fell" if after < before else "did not fall"
    text = f"held-out loss {moved} from {before:.4f} to {after:.4f} over {_count(epochs)}"
    if next_epochs is None:
        return f"{text}: {'no more epochs were asked for' if after < before else 'stopping here'}"
    hope = "" if after < before else ", which is early to tell"
    return f"{text}{hope}: running {next_epochs} more {'epoch' if next_epochs == 1 else 'epochs'}"


def advise(records: list[EpochRecord], stopped_improving: bool) -> str:
    """What to try next, after all epochs of a run."""
    if stopped_improving:
        return "held-out loss stopped falling: more epochs will not help, more or cleaner images may"
    if not records:
        return "nothing was trained"
    best = min(records, key=lambda record: record.heldout_loss)
    last = records[-1]
    if last.heldout_loss > OVERFITTED * best.heldout_loss and last.train_loss < best.train_loss:
        return f"overfitting since epoch {best.epoch}: run {_count(best.epoch)}, or add images"
    if len(records) == 1 or last.heldout_loss <= best.heldout_loss:
        return f"held-out loss was still falling at the end: try more, with --epochs {2 * len(records)}"
    return f"held-out loss has settled (best at epoch {best.epoch}): more epochs will change little"


def _count(epochs: int) -> str:
    return "1 epoch" if epochs == 1 else f"{epochs} epochs"
