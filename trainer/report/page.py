"""The report put together: first what is said, then as many pictures as there is room for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fovea.model.bundle import BundleContract
from trainer.evaluate.calibration import Calibration
from trainer.evaluate.metrics import ECE_BINS, Bin, Logits, Targets, confusion, coverage, reliability, softmax
from trainer.explain.page import Fragment
from trainer.history import read_records
from trainer.images.batches import Images
from trainer.images.traits import TRAITS
from trainer.learning_rate.decision import Decision
from trainer.learning_rate.range_test import Curve
from trainer.lineage import Lineage
from trainer.network.model import Network
from trainer.pages.markup import STYLE, environment, inline, policy
from trainer.report.album import Album
from trainer.report.classes import MOST_ROWS, list_classes
from trainer.report.confidence import draw_coverage, draw_reliability, list_steps
from trainer.report.explanation import render_explanation
from trainer.report.learning import draw_accuracy, draw_losses, draw_rates
from trainer.report.mistakes import show_matrix, show_pairs, show_worst
from trainer.report.outcomes import Outcomes
from trainer.report.rate_curve import draw_curve
from trainer.report.released import ReleasedFiles
from trainer.report.reproduction import command_again
from trainer.report.verdict import judge
from trainer.run_folder import AUDIT_FILE, DECISION_FILE, FIT_FILE, SETTINGS_FILE, RunFolder

HERE: Final = Path(__file__).parent
TINY: Final = 48
"""Images of fewer pixels a side are enlarged in squares."""
PAGE_BYTES: Final = 4_800_000
PICTURES_BYTES: Final = 2_400_000
MEANINGS: Final = {
    "valley": "half way into the longest fall of the loss",
    "steep": "where the loss falls fastest",
    "minimum": "a tenth of the rate with the lowest loss",
    "slide": "before the last long slide, seen from the right",
    "clr": "from where accuracy begins to rise to where that slows",
}


@dataclass(frozen=True)
class Evidence:
    """What the network made of the held-out images, for the page to show."""

    heldout: Images
    logits: Logits
    """float32 [n, classes], before the temperature"""
    calibration: Calibration
    network: Network
    """for its saliency maps"""


def render_report(
    run: RunFolder, contract: BundleContract, evidence: Evidence, released: ReleasedFiles
) -> str:
    """The page as text, of less than 5 MB. Reads the few held-out images that it shows."""
    probabilities = softmax(evidence.logits / evidence.calibration.temperature)
    outcomes = Outcomes.of(probabilities, evidence.heldout.targets)
    counts = confusion(outcomes.predicted, outcomes.targets, len(contract.labels))
    page = environment(HERE).get_template("report.html.j2")
    audit = run.read_json(AUDIT_FILE)
    explanation = render_explanation(
        evidence.heldout, outcomes, evidence.network, contract.labels, evidence.calibration.temperature
    )
    contents = {
        **_tell_of_the_run(run, contract, audit, counts),
        **_tell_of_confidence(evidence, probabilities, contract, audit),
        "released": released,
        "wrong": int((outcomes.predicted != outcomes.targets).sum()),
        **_dress(explanation),
        "explanation": explanation,
    }

    def render(budget_bytes: int) -> str:
        album = Album(evidence.heldout, outcomes, contract.labels, budget_bytes)
        worst = show_worst(album, evidence.heldout, outcomes, evidence.network) if budget_bytes else []
        pairs = show_pairs(album, outcomes, counts, contract.labels)
        return page.render(contents, worst=worst, pairs=pairs, matrix=show_matrix(album, outcomes, counts))

    room = PAGE_BYTES - len(render(0).encode())
    return render(max(0, min(PICTURES_BYTES, room)))


def read_decision(run: RunFolder) -> Decision:
    """Of a run; raises DataInvalid when there is none."""
    record: dict[str, Any] = run.read_json(DECISION_FILE)
    curve = Curve(**record["curve"]) if record["curve"] else None
    return Decision(**{**record, "curve": curve})


def _tell_of_the_run(
    run: RunFolder, contract: BundleContract, audit: dict[str, Any], counts: Targets
) -> dict[str, Any]:
    records, decision = read_records(run.path), read_decision(run)
    fit, lineage = run.read_json(FIT_FILE), Lineage.of(contract.training)
    command = command_again(
        lineage.settings,
        contract.name,
        run.read_json(SETTINGS_FILE)["threads"],
        lineage.continued_from,
    )
    return {
        "contract": contract,
        "tiny": contract.preprocess.size <= TINY,
        "metrics": contract.metrics,
        "classes": list_classes(contract, audit, counts)[:MOST_ROWS],
        "longest_label": max(map(len, contract.labels)),
        "decision": decision,
        "meanings": MEANINGS,
        "decisions": fit["decisions"],
        "advice": fit["advice"],
        "audit": audit,
        "trained": sum(counts["train"] for counts in audit["classes"].values()),
        "traits": TRAITS,
        "lineage": lineage,
        "settings": lineage.settings,
        "command": command,
        "records": records,
        "curve": draw_curve(decision) if decision.curve else None,
        "losses": draw_losses(records),
        "accuracies": draw_accuracy(records),
        "rates": draw_rates(records),
    }


def _tell_of_confidence(
    evidence: Evidence, probabilities: Logits, contract: BundleContract, audit: dict[str, Any]
) -> dict[str, Any]:
    targets, calibration = evidence.heldout.targets, evidence.calibration
    wanted: float = Lineage.of(contract.training).settings["target_precision"]
    before, after = reliability(softmax(evidence.logits), targets), reliability(probabilities, targets)
    answered = coverage(probabilities, targets)
    return {
        "verdict": judge(contract.metrics, calibration, audit, wanted),
        "calibration": calibration,
        "target": wanted,
        "bins": _side_by_side(before, after),
        "reliability": draw_reliability(before, after),
        "coverage": draw_coverage(answered, calibration.abstain_threshold, wanted),
        "steps": list_steps(answered),
    }


def _side_by_side(before: list[Bin], after: list[Bin]) -> list[tuple[float, float, Bin | None, Bin | None]]:
    """(low, high, before, after) of every bin that one of them has."""
    earlier, later = ({round(b.low * ECE_BINS): b for b in bins} for bins in (before, after))
    return [
        (place / ECE_BINS, (place + 1) / ECE_BINS, earlier.get(place), later.get(place))
        for place in sorted(earlier.keys() | later.keys())
    ]


def _dress(explanation: Fragment | None) -> dict[str, Any]:
    """Styles and scripts, and the policy by which the browser runs no other script and fetches nothing."""
    styles, scripts = [inline(STYLE)], [inline(HERE / "report.js")]
    if explanation:
        styles.append(explanation.style)
        scripts.append(explanation.script)
    return {"styles": styles, "scripts": scripts, "policy": policy(scripts)}
