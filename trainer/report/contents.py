"""What the page says, by the names that its templates know it by."""

from dataclasses import dataclass
from typing import Final, cast

from markupsafe import Markup

from fovea.model.bundle import BundleContract
from fovea.model.measured import Metrics
from fovea.settings import SavedSettings
from trainer.evaluate.calibration import Calibration
from trainer.evaluate.metrics import ECE_BINS, Bin, Logits, Targets, coverage, reliability, softmax
from trainer.images.audit import AuditRecord
from trainer.images.batches import Images
from trainer.images.traits import TRAITS
from trainer.learning_rate.decision import Decision, read_decision
from trainer.network.model import Network
from trainer.report.classes import MOST_ROWS, ClassRow, list_classes
from trainer.report.confidence import Step, draw_coverage, draw_reliability, list_steps
from trainer.report.learning import draw_accuracy, draw_losses, draw_rates
from trainer.report.rate_curve import draw_curve
from trainer.report.reproduction import command_again
from trainer.report.verdict import Verdict, judge
from trainer.runs.history import EpochRecord, FitRecord, read_records
from trainer.runs.lineage import Lineage
from trainer.runs.run_folder import FIT_FILE, SETTINGS_FILE, RunFolder
from trainer.truth.prediction_sets import Answered, ClassSets, sets_by_class, why_none

TINY: Final = 48
"""Images of fewer pixels a side are enlarged in squares."""
MOST_CLASSES: Final = 20
"""Of which it is said how each fares with prediction sets."""
MEANINGS: Final = {
    "valley": "half way into the longest fall of the loss",
    "steep": "where the loss falls fastest",
    "minimum": "a tenth of the rate with the lowest loss",
    "slide": "before the last long slide, seen from the right",
    "clr": "from where accuracy begins to rise to where that slows",
}


@dataclass(frozen=True)
class Evidence:
    """What the network made of the images that its figures are told of, for the page to show."""

    heldout: Images
    """or those to test on, where there are such"""
    logits: Logits
    """float32 [n, classes], before the temperature"""
    calibration: Calibration
    network: Network
    """for its saliency maps"""


@dataclass(frozen=True)
class RunContents:
    """Of the run: its data, its learning rate, how it learned, and how to do it again."""

    contract: BundleContract
    metrics: Metrics
    tiny: bool
    classes: list[ClassRow]
    """the weakest, as many as the page shows"""
    longest_label: int
    """characters"""
    audit: AuditRecord
    trained: int
    """images to train on"""
    decision: Decision
    curve: Markup | None
    decisions: list[str]
    """after each cycle, why more epochs were run, or none"""
    advice: str
    records: list[EpochRecord]
    losses: Markup
    accuracies: Markup
    rates: Markup
    lineage: Lineage
    settings: SavedSettings
    """those of the model, as they are saved"""
    command: list[str]
    meanings: dict[str, str]
    """of the suggestions"""
    traits: dict[str, str]
    """of files, in words"""


def contents_of_run(
    run: RunFolder, contract: BundleContract, audit: AuditRecord, counts: Targets | None
) -> RunContents:
    """counts int64 [classes, classes]: rows are the truth, columns the predictions; None of several labels an
    image, of which there are no classes."""
    records, decision = read_records(run.path), read_decision(run)
    fit, lineage = run.read_record(FIT_FILE, FitRecord), Lineage.of(contract.training)
    threads = run.read_json(SETTINGS_FILE)["threads"]
    return RunContents(
        contract=contract,
        metrics=contract.metrics,
        tiny=contract.preprocess.size <= TINY,
        classes=[] if counts is None else list_classes(contract, audit, counts)[:MOST_ROWS],
        longest_label=max(map(len, contract.labels)),
        audit=audit,
        trained=audit.trained_on,
        decision=decision,
        curve=draw_curve(decision) if decision.curve else None,
        decisions=fit.decisions,
        advice=fit.advice,
        records=records,
        losses=draw_losses(records),
        accuracies=draw_accuracy(records),
        rates=draw_rates(records),
        lineage=lineage,
        settings=lineage.settings,
        command=command_again(lineage.settings, contract.name, threads, lineage.continued_from),
        meanings=MEANINGS,
        traits=TRAITS,
    )


@dataclass(frozen=True)
class BinPair:
    """A bin of confidence, before the temperature and after it; None where no image lies in it."""

    low: float
    high: float
    before: Bin | None
    after: Bin | None


@dataclass(frozen=True)
class ConfidenceContents:
    """Of how far its answers can be believed."""

    verdict: Verdict
    calibration: Calibration
    target: float
    """the share of answers that is to be right where it does not abstain"""
    bins: list[BinPair]
    reliability: Markup
    coverage: Markup
    steps: list[Step]
    no_sets: str
    """why there are no prediction sets, where there are none"""
    sets_by_class: list[ClassSets]
    """none where they were not measured, or the classes are too many"""


def contents_of_confidence(
    evidence: Evidence, probabilities: Logits, contract: BundleContract, audit: AuditRecord
) -> ConfidenceContents:
    """probabilities float32 [n, classes]: the evidence's, after the temperature."""
    targets, calibration = evidence.heldout.targets, evidence.calibration
    settings = Lineage.of(contract.training).settings
    wanted = cast("float", settings["target_precision"])
    asked = cast("float", settings.get("coverage", 0.95))
    before, after = reliability(softmax(evidence.logits), targets), reliability(probabilities, targets)
    answered = coverage(probabilities, targets)
    return ConfidenceContents(
        verdict=judge(contract.metrics, calibration, audit, wanted),
        calibration=calibration,
        target=wanted,
        bins=_side_by_side(before, after),
        reliability=draw_reliability(before, after),
        coverage=draw_coverage(answered, calibration.abstain_threshold, wanted),
        steps=list_steps(answered),
        no_sets=why_none(audit.held_out, asked),
        sets_by_class=_sets_by_class(evidence.heldout, probabilities, contract),
    )


def _sets_by_class(told: Images, probabilities: Logits, contract: BundleContract) -> list[ClassSets]:
    sets = contract.prediction_sets
    if not sets or not sets.measured or len(contract.labels) > MOST_CLASSES:
        return []
    return [*sets_by_class(Answered(told, probabilities), sets.quantile, contract.labels)]


def _side_by_side(before: list[Bin], after: list[Bin]) -> list[BinPair]:
    """Every bin that one of them has."""
    earlier, later = ({round(b.low * ECE_BINS): b for b in bins} for bins in (before, after))
    return [
        BinPair(place / ECE_BINS, (place + 1) / ECE_BINS, earlier.get(place), later.get(place))
        for place in sorted(earlier.keys() | later.keys())
    ]
