"""What a model has to reach to be published, and what is kept of one that does not."""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fovea.errors import SettingsInvalid
from fovea.model.bundle import REPORT_FILE
from fovea.model.measured import LabelMetrics, Metrics
from trainer.compare.weighing import Guard
from trainer.config import ExportSettings, TrainSettings
from trainer.options import Promote
from trainer.report.verdict import Verdict
from trainer.runs.run_folder import RunFolder

CANDIDATE_FOLDER: Final = "candidate"
"""In a run's folder: the whole bundle of a model that was not published, as version 0."""


UNGUARDED: Final = Guard(0.95, ())


@dataclass(frozen=True)
class Terms:
    """On which a model is published."""

    min_accuracy: float | None = None
    anyway: bool = False
    promote: Promote = "always"
    guard: Guard = UNGUARDED

    @classmethod
    def of(cls, *settings: ExportSettings | TrainSettings) -> "Terms":
        """Of each option the first that was given counts: those of an export, then those of its run.

        Raises SettingsInvalid for a guard that an export is given in vain.
        """
        first, *_ = settings
        least = next((given.min_accuracy for given in settings if given.min_accuracy is not None), None)
        promote: Promote = next((given.promote for given in settings if given.promote is not None), "always")
        if first.guard_class and promote != "better":
            raise SettingsInvalid(f"--guard-class is of --promote better, not of {promote}")
        guard = Guard(
            _who_gave("confidence", settings).confidence, _who_gave("guard_class", settings).guard_class
        )
        return cls(least, any(given.publish_anyway for given in settings), promote, guard)

    def refusal(
        self, metrics: Metrics, verdict: Verdict, label_metrics: LabelMetrics | None = None
    ) -> str | None:
        """Why the model is not published; None where it is."""
        if label_metrics is not None:
            return self._refusal_of_labels(label_metrics, verdict)
        reached = f"{metrics.right} of {metrics.images} {verdict.told} images are right"
        if self.anyway:
            return None
        if self.min_accuracy is not None and metrics.accuracy < self.min_accuracy:
            least = f"--min-accuracy {self.min_accuracy:g}"
            return f"its accuracy of {metrics.accuracy:.2%} is below {least} ({reached})"
        if verdict.no_better:
            first, *_ = verdict.opinion.against
            return f"{first[0].lower()}{first[1:]} ({reached})"
        return None

    def _refusal_of_labels(self, label_metrics: LabelMetrics, verdict: Verdict) -> str | None:
        """By mean average precision."""
        if self.anyway:
            return None
        if self.min_accuracy is not None and label_metrics.map < self.min_accuracy:
            least = f"--min-accuracy {self.min_accuracy:g}"
            return f"its mean average precision of {label_metrics.map:.2%} is below {least}"
        if verdict.no_better:
            first, *_ = verdict.opinion.against
            return f"{first[0].lower()}{first[1:]}"
        return None


def _who_gave(
    name: str, settings: Sequence[ExportSettings | TrainSettings]
) -> ExportSettings | TrainSettings:
    """Else the last, which has the default."""
    return next((given for given in settings if name in given.model_fields_set), settings[-1])


def keep_candidate(run: RunFolder, staged: Path) -> Path:
    """Moves a bundle that is not published into its run's folder, in place of an earlier one."""
    drop_candidate(run)
    candidate = run.path / CANDIDATE_FOLDER
    candidate.mkdir()
    for file in staged.iterdir():
        file.rename(candidate / file.name)
    return candidate


def drop_candidate(run: RunFolder) -> None:
    shutil.rmtree(run.path / CANDIDATE_FOLDER, ignore_errors=True)


def describe_worse(run: RunFolder, refusal: str, uri: str) -> str:
    """In one line, with the way out."""
    return (
        f"{run.path}: the model does not become the latest: {refusal}; look at {run.path / REPORT_FILE}; "
        f"to promote it all the same: python -m trainer promote {shlex.quote(uri)}"
    )


def describe_refusal(run: RunFolder, refusal: str, models: str) -> str:
    """In one line, with the way out."""
    again = shlex.join(["--run", str(run.path), "--models", models, "--publish-anyway"])
    return (
        f"{run.path}: the model is not published: {refusal}; look at {run.path / REPORT_FILE}; "
        f"to publish it all the same: python -m trainer export {again}"
    )
