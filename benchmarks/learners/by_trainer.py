"""Fovea's trainer, as `python -m trainer train --data digits` has it: the settings that digits imply, the
range test and the rate that it decides on, one-cycle, AdamW with a weight decay of .01. Nothing is released.
"""

import logging
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.learners.lesson import Learnt, Lesson, given, tell
from benchmarks.training import train
from trainer.config import TrainSettings
from trainer.images.batches import steps_per_epoch
from trainer.preparation import prepare


def main() -> None:
    lesson = given()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        settings = settings_of(lesson, Path(scratch))
        start = prepare(settings)
        decision, epochs = train(start, settings, Path(scratch))
    learnt = Learnt(
        f"Fovea's trainer, torch {version('torch')}",
        decision.lr,
        epochs[-1].heldout_accuracy,
        epochs[-1].heldout_loss,
        steps_per_epoch(start.data.train, lesson.batch_size) * lesson.batch_size,
        [epoch.train_s for epoch in epochs],
    )
    tell(learnt)


def settings_of(lesson: Lesson, scratch: Path) -> TrainSettings:
    """`digits` are written into the cache's folder, where the lesson's are."""
    return TrainSettings(
        data="digits",
        cache_dir=Path(lesson.folder).parent,
        models=str(scratch / "models"),
        arch=lesson.arch,
        size=lesson.size,
        batch_size=lesson.batch_size,
        epochs=lesson.epochs,
        threads=lesson.threads,
        seed=lesson.seed,
        device="cpu",
    )


if __name__ == "__main__":
    main()
