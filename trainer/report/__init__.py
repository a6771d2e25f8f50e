"""report.html: what happened in training, in one file for the people who decide whether to ship."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup

from fovea.bundle import BundleContract
from trainer.calibration import Calibration
from trainer.decision import Decision
from trainer.history import read_records
from trainer.lr_finder import Curve
from trainer.metrics import Targets, accuracy_interval, most_confused
from trainer.report import figures
from trainer.run_folder import AUDIT_FILE, DECISION_FILE, FIT_FILE, RunFolder
from trainer.traits import TRAITS

LARGEST_MATRIX = 40
"""More classes than this are told by their most confused pairs alone."""


@dataclass(frozen=True)
class ReleasedFile:
    """A precision that was asked for: its file, or why it was left out."""

    precision: str
    megabytes: float | None
    accuracy: float | None
    drop: float | None
    """below fp32's accuracy; negative where it is better"""
    left_out: str | None


def render_report(
    run: RunFolder,
    contract: BundleContract,
    calibration: Calibration,
    confusion: Targets,
    files: Sequence[ReleasedFile] = (),
) -> str:
    """The page as text. confusion int64 [classes, classes], rows are the truth."""
    records = read_records(run.path)
    decision = read_decision(run)
    fit = run.read_json(FIT_FILE)
    template = _environment().get_template("report.html.j2")
    return template.render(
        contract=contract,
        metrics=contract.metrics,
        interval=accuracy_interval(
            round(contract.metrics.accuracy * contract.metrics.images), contract.metrics.images
        ),
        calibration=calibration,
        files=files,
        decision=decision,
        decisions=fit["decisions"],
        advice=fit["advice"],
        audit=run.read_json(AUDIT_FILE),
        traits=TRAITS,
        lineage=contract.training,
        settings=contract.training["settings"],
        rows=_matrix(confusion) if len(contract.labels) <= LARGEST_MATRIX else [],
        pairs=most_confused(confusion, contract.labels),
        records=records,
        curve=_drawing(figures.draw_curve(decision)) if decision.curve else None,
        losses=_drawing(figures.draw_losses(records)),
        accuracies=_drawing(figures.draw_accuracy(records)),
        rates=_drawing(figures.draw_rates(records)),
    )


def read_decision(run: RunFolder) -> Decision:
    """Of a run; raises DataInvalid when there is none."""
    record: dict[str, Any] = run.read_json(DECISION_FILE)
    curve = Curve(**record["curve"]) if record["curve"] else None
    return Decision(**{**record, "curve": curve})


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix; `share` of its row, in [0, 1]."""

    count: int
    share: float
    right: bool


def _environment() -> jinja2.Environment:
    # Labels and file names come from whoever made the data: everything is escaped but our own drawings.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trainer.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(code=_code, counted=_counted)
    return environment


def _code(text: str) -> Markup:
    """What stands between backticks as code; all of it escaped."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _drawing(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - made here, from numbers alone


def _matrix(confusion: Targets) -> list[list[Cell]]:
    return [
        [
            Cell(int(count), count / max(1, row.sum()), truth == predicted)
            for predicted, count in enumerate(row)
        ]
        for truth, row in enumerate(confusion)
    ]
