"""What a person reads of a released model and of how it did."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.filesize import decimal

from fovea.model.bundle import BundleContract, ModelBundle
from fovea.model.measured import LabelMetrics, Metrics, Opinion
from fovea.model.task import NEVER_SELECTED, ThresholdRule
from fovea.printable import printable, shortened
from fovea.truth.sets import PredictionSets
from trainer.evaluate.evaluation import Evaluation
from trainer.evaluate.metrics import accuracy_interval
from trainer.options import sources_of
from trainer.runs.lineage import ChosenRate, Lineage

MOST_ROWS: Final = 20
"""Classes and labels beyond these are in the JSON alone."""
MOST_WORST: Final = 10

Row = tuple[str, ...]


def describe_evaluation(evaluation: Evaluation, contract: BundleContract) -> Iterator[str]:
    """The lines that a person reads of an evaluation."""
    model, metrics, answered = evaluation.model, evaluation.metrics, evaluation.kept
    yield f"{model.name} version {model.version}, {model.precision}: {_accuracy(metrics)}"
    yield f"at its release {_accuracy(contract.metrics_of(model.precision))}"
    yield from evaluation.beside_release.words()
    yield f"beside it: {describe_beside(metrics)}"
    yield ""
    yield from table([("class", "images", "precision", "recall"), *_classes(metrics)])
    yield ""
    yield "most confused   " + (
        ", ".join(f"{p.truth} taken for {p.predicted} ({p.count})" for p in evaluation.most_confused)
        or "none"
    )
    yield (
        f"calibration     error {metrics.ece:.2%}; "
        f"below a probability of {answered.threshold:.3f} it abstains: "
        f"{answered.images} of {metrics.images} images are kept"
        + (f", of which {answered.right / answered.images:.2%} are right" if answered.images else "")
    )
    if evaluation.worst:
        yield ""
        header = ("worst images", "truth", "taken for", "probability")
        worst = evaluation.worst[:MOST_WORST]
        yield from table([header, *((w.path, w.truth, w.predicted, f"{w.probability:.3f}") for w in worst)])


def _accuracy(metrics: Metrics, are: str = "right") -> str:
    if not metrics.images:
        return "measured on no image"
    low, high = accuracy_interval(round(metrics.accuracy * metrics.images), metrics.images)
    return (
        f"{metrics.accuracy:.2%} of {metrics.images} images {are} "
        f"(95 % confidence interval {low:.2%} to {high:.2%})"
    )


def _classes(metrics: Metrics) -> Iterator[Row]:
    """Those that do worst first; classes without images are left out."""
    present = {label: row for label, row in metrics.per_class.items() if row.images}
    ranked = sorted(present.items(), key=lambda entry: entry[1].recall)
    for label, row in ranked[:MOST_ROWS]:
        yield label, str(row.images), f"{row.precision:.1%}", f"{row.recall:.1%}"
    if len(ranked) > MOST_ROWS:
        yield (f"and {len(ranked) - MOST_ROWS} more, no worse",)


def describe_bundle(bundle: ModelBundle) -> Iterator[str]:
    """The lines that a person reads of a bundle."""
    contract = bundle.contract
    yield f"{contract.name} version {contract.version}, of {contract.created:%d %B %Y, %H:%M UTC}"
    yield ""
    yield from table([*_what_it_does(contract), *_where_it_comes_from(Lineage.of(contract.training))])
    yield ""
    precisions = [("fp32", contract.metrics), *((p, v.metrics) for p, v in contract.variants.items())]
    are = "right" if contract.task == "single" else "given exactly their labels"
    for precision, metrics in precisions:
        yield f"{precision}: {_accuracy(metrics, are)}"
    if contract.label_metrics is not None:
        yield f"of the labels: {describe_labels(contract.label_metrics)}"
    else:
        yield f"beside it: {describe_beside(contract.metrics)}"
    if contract.measured_on == "test":
        yield "measured on a part test, by which nothing was chosen"
    elif contract.thresholds is not None:
        yield "measured on the held-out images, by which temperatures and thresholds were chosen"
    yield ""
    yield from describe_verdict(contract.verdict)
    yield ""
    yield from table(
        [
            (name, decimal((bundle.path / name).stat().st_size), f"sha256 {digest}")
            for name, digest in contract.files.items()
        ]
    )


def describe_beside(metrics: Metrics) -> str:
    """What an accuracy is to be seen beside."""
    label, share = metrics.majority
    majority = f"always answering {shortened(label)} is right for {share:.2%}"
    return f"macro recall {metrics.macro_recall:.2%}; {majority}"


def describe_labels(scores: LabelMetrics) -> str:
    """The figures of several labels an image, in one line."""
    f1 = f"micro F1 {scores.micro_f1:.2%}, macro F1 {scores.macro_f1:.2%}"
    return f"mean average precision {scores.map:.2%}, {f1}"


def describe_verdict(opinion: Opinion | None) -> Iterator[str]:
    """The verdict's word, then what speaks against it, a line each."""
    if opinion is None:
        yield "verdict         none: it was released before there were any"
        return
    yield f"verdict         {opinion.word}"
    for reason in opinion.against:
        yield f"                {printable(reason)}"


def _what_it_does(contract: BundleContract) -> Iterator[Row]:
    spec, labels = contract.preprocess, contract.labels
    more = f" and {len(labels) - MOST_ROWS} more" if len(labels) > MOST_ROWS else ""
    names = [repr(label) if "," in label else label for label in labels[:MOST_ROWS]]
    yield "labels", f"{len(labels)}: {', '.join(names)}{more}"
    yield "images", str(spec)
    for tensor in (*contract.inputs, *contract.outputs):
        yield tensor.name, f"{tensor.dtype} [{', '.join(map(str, tensor.shape))}]"
    if contract.thresholds and contract.threshold_rule:
        yield from _what_it_selects(contract, contract.thresholds, contract.threshold_rule)
        return
    yield "temperature", f"{contract.temperature:g}"
    yield "abstains", f"below a probability of {contract.abstain_threshold:g}"
    if contract.prediction_sets:
        yield "label sets", _sets(contract.prediction_sets)


def threshold_in_words(threshold: float) -> str:
    """Of a label."""
    return "never" if threshold >= NEVER_SELECTED else f"{threshold:.3g}"


def _what_it_selects(
    contract: BundleContract, thresholds: Sequence[float], rule: ThresholdRule
) -> Iterator[Row]:
    target = rule.target_precision
    chosen = "of the highest F1" if target is None else f"where {target:.0%} are right"
    pairs = list(zip(contract.labels, thresholds, strict=True))
    more = f" and {len(pairs) - MOST_ROWS} more" if len(pairs) > MOST_ROWS else ""
    each = ", ".join(f"{label} {threshold_in_words(threshold)}" for label, threshold in pairs[:MOST_ROWS])
    yield "task", "multi: an image has any number of these labels, or none"
    yield "thresholds", f"{chosen}: {each}{more}"


def _sets(sets: PredictionSets) -> str:
    asked = f"hold the truth for {100 * sets.coverage:g} % of images"
    if sets.measured is None:
        return f"{asked}, which was not measured"
    return f"{asked}; measured {sets.measured.coverage:.1%} of {sets.measured.images}"


def _where_it_comes_from(lineage: Lineage) -> Iterator[Row]:
    """As far as the trainer that made it has noted it."""
    rate = lineage.learning_rate or ChosenRate()
    noted = {
        "architecture": lineage.architecture,
        "weights": _with_digest(lineage.weights, lineage.weights_sha256),
        "data": _with_digest(_sources(lineage), lineage.data_digest),
        "corrections": _corrections(lineage),
        "captures": _captures(lineage),
        "groups": _groups(lineage),
        "learning rate": f"{rate.lr:.3g}: {rate.why or ''}" if rate.lr is not None else None,
        "confidence": rate.confidence,
        "epochs": lineage.epochs,
        "seed": lineage.seed,
        "run": lineage.run,
        "continued from": lineage.continued_from,
        "versions": ", ".join(f"{name} {version}" for name, version in lineage.versions.items()),
    }
    return ((name, str(value)) for name, value in noted.items() if value not in (None, ""))


def _sources(lineage: Lineage) -> str | None:
    data = lineage.settings.get("data")
    return ", ".join(sources_of(data)) if data else None


def _corrections(lineage: Lineage) -> str | None:
    if lineage.labels_corrected is None:
        return None
    return f"{lineage.labels_corrected} labels corrected, {lineage.images_left_out or 0} images left out"


def _captures(lineage: Lineage) -> str | None:
    if lineage.captured_labelled is None:
        return None
    return f"{lineage.captured_labelled} images labelled, {lineage.captured_left_out or 0} left out"


def _groups(lineage: Lineage) -> str | None:
    if lineage.groups is None:
        return None
    parts = ", ".join(f"{part} {groups}" for part, groups in lineage.groups.items())
    random = lineage.random_split
    beside = f"; on a random split {random.accuracy:.2%} of {random.images} images" if random else ""
    return f"{parts}; none in two parts{beside}"


def _with_digest(name: object, digest: object) -> object:
    return f"{name}, sha256 {digest}" if name and digest else name


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Columns under each other; a row of one cell stands alone."""
    wide = [row for row in rows if len(row) > 1]
    widths = [max(map(len, column)) for column in zip(*wide, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
