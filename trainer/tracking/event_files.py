"""`--log-to tensorboard`: event files in the run's folder, which TensorBoard shows."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from torch.utils.tensorboard import SummaryWriter

from trainer.runs.history import EpochRecord
from trainer.tracking.standing import Outcome, Standing, figures

_TEXT: Final = "/text_summary"
"""What SummaryWriter adds to the tag of a text."""


class EventFiles:
    """Scalars by epoch and by step, both counted from 1; the recipe, the rate and the model as texts."""

    def __init__(self, folder: Path) -> None:
        self.place = f"--log-to tensorboard ({folder})"
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._last: dict[str, int] = {}
        """the last step of each tag that is in the files"""
        self._texts: dict[str, str] = {}
        """the last of each tag"""
        self._epochs = self._steps = 0
        """of the run, that the writer has been given"""

    def tell(self, standing: Standing) -> None:
        writer = self._open()
        try:
            self._tell(writer, standing)
            writer.flush()
            if standing.status != "RUNNING":
                writer.close()
        except BaseException:
            self._writer = None  # what of it reached the files is read anew
            with suppress(Exception):
                writer.close()
            raise

    def _open(self) -> SummaryWriter:
        """A further event file, which begins after what is in those before."""
        if self._writer is None:
            self._last, self._texts = read_last(self._folder)
            self._epochs = self._steps = 0
            self._writer = SummaryWriter(str(self._folder))
        return self._writer

    def _tell(self, writer: SummaryWriter, standing: Standing) -> None:
        self._text(writer, "recipe", _table(standing.recipe))
        if chosen := standing.chosen:
            why = {"learning rate": f"{chosen.lr:.3g}", "why": chosen.why, "confidence": chosen.confidence}
            self._text(writer, "learning_rate", _table(why))
            self._scalars(writer, "range_test/lr", enumerate(chosen.curve_lrs, 1))
            self._scalars(writer, "range_test/loss", enumerate(chosen.curve_losses, 1))
        for record in standing.epochs[self._epochs :]:
            self._epoch(writer, record)
        if standing.outcome:
            self._text(writer, "model", _table(_described(standing.outcome)))

    def _epoch(self, writer: SummaryWriter, record: EpochRecord) -> None:
        self._scalars(writer, "step/lr", enumerate(record.step_lrs, self._steps + 1))
        self._scalars(writer, "step/loss", enumerate(record.step_losses, self._steps + 1))
        for name, value in figures(record).items():
            self._scalars(writer, f"epoch/{name}", [(record.epoch, value)])
        self._epochs, self._steps = self._epochs + 1, self._steps + len(record.step_losses)

    def _scalars(self, writer: SummaryWriter, tag: str, points: Iterable[tuple[int, float]]) -> None:
        for step, value in points:
            if step > self._last.get(tag, 0):
                writer.add_scalar(tag, value, step)
                self._last[tag] = step

    def _text(self, writer: SummaryWriter, tag: str, text: str) -> None:
        if self._texts.get(tag) != text:
            step = self._last.get(tag, -1) + 1
            writer.add_text(tag, text, step)
            self._last[tag], self._texts[tag] = step, text


def read_last(folder: Path) -> tuple[dict[str, int], dict[str, str]]:
    """The last step of each tag in a folder's event files, and the last text of each that has texts.

    Files that a killed process left are read as far as they are whole.
    """
    if not folder.is_dir():
        return {}, {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 1, "tensors": 1}).Reload()
    last = {tag: events.Scalars(tag)[-1].step for tag in events.Tags()["scalars"]}
    texts = {}
    for tag in events.Tags()["tensors"]:
        event, name = events.Tensors(tag)[-1], tag.removesuffix(_TEXT)
        last[name], texts[name] = event.step, event.tensor_proto.string_val[0].decode()
    return last, texts


def _described(outcome: Outcome) -> dict[str, str]:
    told = {
        "model": outcome.uri,
        "version": outcome.version,
        "digest": outcome.digest,
        "not published": outcome.refusal,
        **{name: f"{value:.6g}" for name, value in outcome.metrics.items()},
    }
    return {name: value for name, value in told.items() if value}


def _table(rows: dict[str, str]) -> str:
    """As Markdown."""
    lines = [f"| {name} | {value.replace('|', ' ')} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])
