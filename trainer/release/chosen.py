"""What is chosen on the held-out images of how a network's logits become answers, and told of others."""

from dataclasses import dataclass
from typing import Any, Protocol

from fovea.model.bundle import BundleContract
from fovea.model.task import ThresholdRule
from trainer.compare.weighing import Weighed
from trainer.config import TrainSettings
from trainer.evaluate.calibration import Calibration, calibrate
from trainer.evaluate.label_calibration import LabelCalibration, calibrate_labels
from trainer.evaluate.metrics import Logits, softmax
from trainer.evaluate.task import Measured
from trainer.images.audit import AuditRecord
from trainer.images.batches import Images
from trainer.network.model import Network
from trainer.release.export import Served, ServedLabels, ServedNetwork
from trainer.report.contents import Evidence
from trainer.report.label_verdict import judge_labels
from trainer.report.labels_page import LabelEvidence, render_labels_report
from trainer.report.page import render_report
from trainer.report.released import ReleasedFiles
from trainer.report.verdict import Verdict, judge
from trainer.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Shown:
    """What a report shows."""

    told: Images
    """the images that its figures are of"""
    logits: Logits
    """float32 [n, classes] of these"""
    network: Network
    files: ReleasedFiles
    weighed: Weighed | None


class Chosen(Protocol):
    """Of a task."""

    def probabilities(self, logits: Logits) -> Logits:
        """float32 [n, classes], as the released model gives them."""

    def served(self, network: Network) -> Served: ...

    def terms(self) -> dict[str, Any]:
        """What the contract says of it, by its fields."""

    def told_of(self, logits: Logits, images: Images) -> "Chosen":
        """The same choice, with what it comes to on these images."""

    def judge(self, measured: Measured, audit: AuditRecord, settings: TrainSettings) -> Verdict: ...

    def render(self, run: RunFolder, contract: BundleContract, shown: Shown) -> str:
        """The report, of the images that this is told of."""


@dataclass(frozen=True)
class OneLabel:
    calibration: Calibration

    def probabilities(self, logits: Logits) -> Logits:
        return softmax(logits / self.calibration.temperature)

    def served(self, network: Network) -> Served:
        return ServedNetwork(network, self.calibration.temperature)

    def terms(self) -> dict[str, Any]:
        return {
            "temperature": self.calibration.temperature,
            "abstain_threshold": self.calibration.abstain_threshold,
        }

    def told_of(self, logits: Logits, images: Images) -> "OneLabel":
        return OneLabel(self.calibration.told_of(logits, images.targets))

    def judge(self, measured: Measured, audit: AuditRecord, settings: TrainSettings) -> Verdict:
        return judge(measured.metrics, self.calibration, audit, settings.target_precision)

    def render(self, run: RunFolder, contract: BundleContract, shown: Shown) -> str:
        evidence = Evidence(shown.told, shown.logits, self.calibration, shown.network)
        return render_report(run, contract, evidence, shown.files, shown.weighed)


@dataclass(frozen=True)
class SeveralLabels:
    calibration: LabelCalibration

    def probabilities(self, logits: Logits) -> Logits:
        return self.calibration.probabilities(logits)

    def served(self, network: Network) -> Served:
        return ServedLabels(network, self.calibration.temperatures)

    def terms(self) -> dict[str, Any]:
        return {
            "format": 2,
            "task": "multi",
            "temperature": 1.0,
            "abstain_threshold": 0.0,
            "temperatures": self.calibration.temperatures,
            "thresholds": self.calibration.thresholds,
            "threshold_rule": self.calibration.rule,
        }

    def told_of(self, logits: Logits, images: Images) -> "SeveralLabels":
        return SeveralLabels(self.calibration.told_of(logits, images.targets))

    def judge(self, measured: Measured, audit: AuditRecord, settings: TrainSettings) -> Verdict:
        return judge_labels(measured, audit)

    def render(self, run: RunFolder, contract: BundleContract, shown: Shown) -> str:
        evidence = LabelEvidence(shown.told, shown.logits, self.calibration, shown.network)
        return render_labels_report(run, contract, evidence, shown.files)


def choose(logits: Logits, heldout: Images, settings: TrainSettings) -> Chosen:
    """logits float32 [n, classes] of the held-out images."""
    if heldout.task == "single":
        return OneLabel(calibrate(logits, heldout.targets, settings.target_precision))
    rule = ThresholdRule(by="f1")
    if settings.thresholds == "precision":
        rule = ThresholdRule(by="precision", target_precision=settings.target_precision)
    return SeveralLabels(calibrate_labels(logits, heldout.targets, rule))
