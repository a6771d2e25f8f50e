"""What a command says when it is done, and what of it is kept."""

from collections.abc import Iterator
from typing import TypedDict

from pydantic import BaseModel

from fovea.model.bundle import REPORT_FILE
from fovea.model.measured import Opinion
from fovea.model.versions import CANDIDATES
from trainer.evaluate.descriptions import describe_beside, describe_labels, describe_verdict
from trainer.evaluate.metrics import Majority, accuracy_interval
from trainer.images.data import DataSet
from trainer.learning_rate.decision import Decision
from trainer.release.release import Released
from trainer.runs.history import FitRecord
from trainer.runs.random_split import read_random_split
from trainer.runs.run_folder import SUMMARY_FILE, RunFolder


def describe_decision(decision: Decision) -> str:
    """Every suggestion, with the range that it wanders in, and the choice."""
    rows = [
        f"{name:<12}{f'{rate:.3g}' if rate else '-':<12}{_describe_range(decision, name)}".rstrip()
        for name, rate in decision.suggestions.items()
    ]
    return "\n".join([*rows, "", f"learning rate {decision.lr:.3g}: {decision.why}"])


def _describe_range(decision: Decision, name: str) -> str:
    if name == "clr" and decision.base_lr:
        return f"the highest; the lowest is {decision.base_lr:.3g}"
    lowest, highest = decision.spread.get(name, (None, None))
    return f"{lowest:.2g} to {highest:.2g}" if lowest and highest else ""


class SummaryRecord(BaseModel, frozen=True, extra="allow"):
    """summary.json: what became of a run. Those of older versions lack some, which are not set then."""

    learning_rate: float | None = None
    accuracy: float
    """of the released model, as are the next ones: on the test images, where there are some, or else on those
    held out"""
    accuracy_interval_95: tuple[float, float] | None = None
    macro_recall: float | None = None
    majority: Majority | None = None
    loss: float | None = None
    epochs: int | None = None
    epochs_advice: str | None = None
    images_train: int | None = None
    images_heldout: int
    images_test: int | None = None
    map: float | None = None
    """mean average precision, of several labels an image, as are the next two; written only there"""
    micro_f1: float | None = None
    macro_f1: float | None = None
    random_split_accuracy: float | None = None
    """of the same recipe where groups were torn apart; written only where that was compared"""
    verdict: Opinion | None = None
    model: str | None
    """the published version"""
    not_published: str | None = None
    """why"""
    candidate: str | None = None
    """the folder of a model that is not published, or was only to be put below candidates/"""
    report: str | None = None
    seconds: float | None = None

    @property
    def measured_on(self) -> str:
        """What the accuracy is of."""
        if self.images_test is not None:
            return f"{self.images_test} test images"
        return f"{self.images_heldout} held-out images"


class Place(TypedDict):
    """Where a released model is."""

    model: str | None
    not_published: str | None
    candidate: str | None


def summarise(
    run: RunFolder, data: DataSet, decision: Decision, fit: FitRecord, released: Released, seconds: float
) -> SummaryRecord:
    metrics = released.metrics
    random = read_random_split(run)
    return SummaryRecord(
        learning_rate=decision.lr,
        accuracy=metrics.accuracy,
        accuracy_interval_95=accuracy_interval(metrics.right, metrics.images),
        macro_recall=metrics.macro_recall,
        **_beside(released),
        loss=metrics.loss,
        epochs=fit.kept_epoch,
        epochs_advice=fit.advice,
        images_train=len(data.train),
        images_heldout=len(data.heldout),
        **({} if data.test is None else {"images_test": len(data.test)}),
        **({"random_split_accuracy": random.accuracy} if random else {}),
        verdict=released.opinion,
        **_place(released),
        report=str(run.path / REPORT_FILE),
        seconds=round(seconds, 1),
    )


class Beside(TypedDict, total=False):
    """What an accuracy is to be seen beside."""

    majority: Majority
    map: float
    micro_f1: float
    macro_f1: float


def _beside(released: Released) -> Beside:
    if (scores := released.label_metrics) is not None:
        return {"map": scores.map, "micro_f1": scores.micro_f1, "macro_f1": scores.macro_f1}
    majority, share = released.metrics.majority
    return {"majority": Majority(label=majority, accuracy=share)}


def _place(released: Released) -> Place:
    return {
        "model": released.uri if released.version else None,
        "not_published": released.refusal,
        "candidate": None if released.version else released.uri,
    }


def note_export(run: RunFolder, released: Released) -> None:
    """What the summary said of a model that was not published may be so no longer."""
    if run.holds(SUMMARY_FILE) and not is_published(run):
        summary = run.read_record(SUMMARY_FILE, SummaryRecord)
        run.write_record(SUMMARY_FILE, summary.model_copy(update={**_place(released)}))


def is_published(run: RunFolder) -> bool:
    """Of a run that has a summary."""
    return bool(run.read_record(SUMMARY_FILE, SummaryRecord).model)


def is_finished(run: RunFolder) -> bool:
    """Of a run that has a summary: nothing is left to do, not even to publish what was refused."""
    return run.read_record(SUMMARY_FILE, SummaryRecord).not_published is None


def describe_finished(run: RunFolder) -> str:
    summary = run.read_record(SUMMARY_FILE, SummaryRecord)
    where = f"published as {summary.model}" if summary.model else _put_below(summary)
    return (
        f"the run {run.path} is finished: {_reached(summary)} of {summary.measured_on}, "
        f"{where} (--run-id takes another name for another run)"
    )


def _reached(summary: SummaryRecord) -> str:
    if summary.map is None:
        return f"{summary.accuracy:.2%}"
    return f"mean average precision {summary.map:.2%}, exactly the labels for {summary.accuracy:.2%}"


def describe(summary: SummaryRecord, decision: Decision, fit: FitRecord, released: Released) -> str:
    """Of a run that has just been released."""
    return "\n".join(
        [
            "",
            f"learning rate   {decision.lr:.3g} ({decision.why})",
            *(f"epochs          {text}" for text in fit.decisions),
            *_describe_accuracy(summary, released),
            f"advice          {summary.epochs_advice}",
            f"model           {_where(summary)}",
            f"report          {summary.report}",
            f"time            {summary.seconds:.0f} s",
            *describe_verdict(released.opinion),
        ]
    )


def _describe_accuracy(summary: SummaryRecord, released: Released) -> Iterator[str]:
    if released.label_metrics is not None:
        yield f"labels          {describe_labels(released.label_metrics)} of {summary.measured_on}"
        yield f"all of them     right for {summary.accuracy:.2%} of the images"
        return
    yield f"accuracy        {summary.accuracy:.2%} of {summary.measured_on}"
    yield from _describe_random_split(summary)
    yield f"beside it       {describe_beside(released.metrics)}"


def _where(summary: SummaryRecord) -> str:
    if summary.not_published:
        return f"not published; it is kept as {summary.candidate}"
    return summary.model or _put_below(summary)


def _put_below(summary: SummaryRecord) -> str:
    return f"put below {CANDIDATES}/ as {summary.candidate}"


def _describe_random_split(summary: SummaryRecord) -> Iterator[str]:
    if summary.random_split_accuracy is not None:
        points = 100 * (summary.random_split_accuracy - summary.accuracy)
        yield (
            f"random split    {summary.random_split_accuracy:.2%} by the same recipe where groups are torn "
            f"apart, {abs(points):.1f} points {'more' if points >= 0 else 'less'}"
        )


def describe_release(released: Released, told: str) -> str:
    """Of an export; `told` is what the images are called that its figures are of."""
    done = "published" if released.version else f"put below {CANDIDATES}/ as"
    done = "not published" if released.refusal else done
    metrics = released.metrics
    measured = f"{told} accuracy {metrics.accuracy:.2%}; {describe_beside(metrics)}"
    if released.label_metrics is not None:
        measured = f"{told} {describe_labels(released.label_metrics)}"
    return "\n".join(
        [
            f"{done} {released.uri}: {measured}",
            *describe_verdict(released.opinion),
        ]
    )
