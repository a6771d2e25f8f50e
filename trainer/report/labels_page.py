"""The report of a multi-label model: what is said of one label an image is replaced by what is of several."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fovea.model.bundle import BundleContract
from fovea.model.task import selected
from trainer.evaluate.label_calibration import LabelCalibration
from trainer.evaluate.label_metrics import sigmoid
from trainer.evaluate.metrics import Logits
from trainer.evaluate.task import Measured
from trainer.images.audit import AuditRecord, read_audit
from trainer.images.batches import Images
from trainer.network.model import Network
from trainer.pages.markup import STYLE, environment, inline, policy
from trainer.report.confidence import draw_reliability
from trainer.report.contents import contents_of_run
from trainer.report.label_figures import (
    LARGEST_TABLE,
    decision_bins,
    list_labels,
    most_apart,
    pair_up,
)
from trainer.report.label_mistakes import Judged, show_mistakes
from trainer.report.label_verdict import guessed, judge_labels
from trainer.report.released import ReleasedFiles
from trainer.runs.run_folder import RunFolder

HERE: Final = Path(__file__).parent
PAGE_BYTES: Final = 4_800_000
PICTURES_BYTES: Final = 2_400_000


@dataclass(frozen=True)
class LabelEvidence:
    """What the network made of the images that its figures are told of, for the page to show."""

    told: Images
    logits: Logits
    """float32 [n, labels], before the temperatures"""
    calibration: LabelCalibration
    network: Network
    """for its saliency maps"""


def render_labels_report(
    run: RunFolder, contract: BundleContract, evidence: LabelEvidence, released: ReleasedFiles
) -> str:
    """The page as text, of less than 5 MB. Raises ValueError of a contract of one label an image."""
    scripts = [inline(HERE / "report.js")]
    audit, judged = read_audit(run), _judged(contract, evidence)
    contents = {
        **vars(contents_of_run(run, contract, audit, None)),
        **_contents_of_labels(contract, evidence, judged, audit),
        "released": released,
        "styles": [inline(STYLE)],
        "scripts": scripts,
        "policy": policy(scripts),
    }
    page = environment(HERE).get_template("labels.html.j2")

    def render(budget_bytes: int) -> str:
        return page.render(contents, mistakes=show_mistakes(judged, evidence.network, budget_bytes))

    room = PAGE_BYTES - len(render(0).encode())
    return render(max(0, min(PICTURES_BYTES, room)))


def _judged(contract: BundleContract, evidence: LabelEvidence) -> Judged:
    probabilities = evidence.calibration.probabilities(evidence.logits)
    chosen = selected(probabilities, evidence.calibration.thresholds)
    return Judged(evidence.told, contract.labels, probabilities, chosen)


def _contents_of_labels(
    contract: BundleContract, evidence: LabelEvidence, judged: Judged, audit: AuditRecord
) -> dict[str, Any]:
    scores, targets = contract.label_metrics, evidence.told.targets
    if scores is None:
        raise ValueError("this contract is of one label an image")
    trained = {label: counts["train"] for label, counts in audit.classes.items()}
    pairs = pair_up(contract.labels, judged.chosen, targets)
    before = decision_bins(sigmoid(evidence.logits), targets)
    after = decision_bins(judged.probabilities, targets)
    none_said = ~judged.chosen.any(1)
    return {
        "verdict": judge_labels(Measured(contract.metrics, scores), audit),
        "scores": scores,
        "guessed": guessed(scores, contract.metrics.images),
        "rows": list_labels(scores.per_label, trained, judged.probabilities, targets),
        "pairs": pairs if len(pairs) <= LARGEST_TABLE else [],
        "apart": most_apart(pairs),
        "calibration": evidence.calibration,
        "reliability": draw_reliability(before, after),
        "bins": after,
        "none_said": int(none_said.sum()),
        "none_right": int((none_said & (targets.sum(1) == 0)).sum()),
        "none_truly": int((targets.sum(1) == 0).sum()),
        "wrong_decisions": int((judged.chosen != np.asarray(targets, bool)).sum()),
    }
