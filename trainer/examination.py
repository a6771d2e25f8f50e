"""The commands that look at a released model. They need no torch."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.filesize import decimal

from fovea import versions
from fovea.bundle import BundleContract, Metrics, ModelBundle
from fovea.classifier import Classifier
from fovea.errors import DataInvalid
from fovea.settings import as_saved
from trainer.audit import left_out
from trainer.config import EvaluateSettings, InspectSettings
from trainer.evaluation import Evaluation
from trainer.evaluation import evaluate as evaluate_on
from trainer.metrics import accuracy_interval
from trainer.run_folder import EVALUATION_FILE, RunFolder
from trainer.sources import open_heldout
from trainer.stopping import Stopping

logger = logging.getLogger(__name__)

MOST_ROWS: Final = 20
"""Classes and labels beyond these are in the JSON alone."""
MOST_WORST: Final = 10

Row = tuple[str, ...]


def evaluate(settings: EvaluateSettings) -> None:
    """`evaluate`: how a released model does on labelled images. Writes evaluation.json.

    Raises DataInvalid where the accuracy is below --min-accuracy, when all is written and said.
    """
    Stopping()
    folder = RunFolder(settings.output)
    folder.check("--output")
    bundle = versions.open_bundle(settings.bundle, settings.cache_dir)
    samples = open_heldout(settings.data, settings.cache_dir)
    classifier = Classifier(bundle, settings.device, settings.threads, settings.precision)
    found = evaluate_on(classifier, samples, settings.threads, settings.max_bad_fraction)
    if found.bad:
        logger.warning("%s", left_out(found.bad))
    folder.make()
    folder.write_json(EVALUATION_FILE, {"settings": as_saved(settings), **found.record()})
    print("\n".join(_describe(found, bundle.contract)))
    print(f"\n{folder.path / EVALUATION_FILE}")
    _check_accuracy(found, settings.min_accuracy)


def inspect(settings: InspectSettings) -> None:
    """`inspect`: what a released model is, for a person or as JSON. Raises BundleInvalid if it is damaged."""
    Stopping()
    bundle = versions.open_bundle(settings.bundle)
    print(bundle.contract.model_dump_json(indent=2) if settings.as_json else "\n".join(_introduce(bundle)))


def _check_accuracy(found: Evaluation, least: float | None) -> None:
    if least is not None and found.metrics.accuracy < least:
        raise DataInvalid(f"the accuracy of {found.metrics.accuracy:.2%} is below --min-accuracy {least:g}")


def _describe(found: Evaluation, contract: BundleContract) -> Iterator[str]:
    """The lines that a person reads of an evaluation."""
    model, metrics, kept = found.model, found.metrics, found.kept
    yield f"{model['name']} version {model['version']}, {model['precision']}: {_accuracy(metrics)}"
    yield f"at its release {_accuracy(_released(contract, model['precision']))}"
    yield ""
    yield from _table([("class", "images", "precision", "recall"), *_classes(metrics)])
    yield ""
    yield "most confused   " + (
        ", ".join(f"{p.truth} taken for {p.predicted} ({p.count})" for p in found.most_confused) or "none"
    )
    yield (
        f"calibration     error {metrics.ece:.2%}; below a probability of {kept.threshold:.3f} it abstains: "
        f"{kept.images} of {metrics.images} images are kept"
        + (f", of which {kept.right / kept.images:.2%} are right" if kept.images else "")
    )
    if found.worst:
        yield ""
        header = ("worst images", "truth", "taken for", "probability")
        worst = found.worst[:MOST_WORST]
        yield from _table([header, *((w.path, w.truth, w.predicted, f"{w.probability:.3f}") for w in worst)])


def _released(contract: BundleContract, precision: str) -> Metrics:
    variants: dict[str, Metrics] = {str(name): variant.metrics for name, variant in contract.variants.items()}
    return variants.get(precision, contract.metrics)


def _accuracy(metrics: Metrics) -> str:
    low, high = accuracy_interval(round(metrics.accuracy * metrics.images), metrics.images)
    return (
        f"{metrics.accuracy:.2%} of {metrics.images} images right "
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


def _introduce(bundle: ModelBundle) -> Iterator[str]:
    """The lines that a person reads of a bundle."""
    contract = bundle.contract
    yield f"{contract.name} version {contract.version}, of {contract.created:%d %B %Y, %H:%M UTC}"
    yield ""
    yield from _table([*_what_it_does(contract), *_where_it_comes_from(contract.training)])
    yield ""
    precisions = [("fp32", contract.metrics), *((p, v.metrics) for p, v in contract.variants.items())]
    for precision, metrics in precisions:
        yield f"{precision}: {_accuracy(metrics)}"
    yield ""
    yield from _table(
        [
            (name, decimal((bundle.path / name).stat().st_size), f"sha256 {digest}")
            for name, digest in contract.files.items()
        ]
    )


def _what_it_does(contract: BundleContract) -> Iterator[Row]:
    spec, labels = contract.preprocess, contract.labels
    more = f" and {len(labels) - MOST_ROWS} more" if len(labels) > MOST_ROWS else ""
    yield "labels", f"{len(labels)}: {', '.join(labels[:MOST_ROWS])}{more}"
    yield "images", f"shorter side {spec.resize}, crop {spec.size}, {spec.interpolation}"
    for tensor in (*contract.inputs, *contract.outputs):
        yield tensor.name, f"{tensor.dtype} [{', '.join(map(str, tensor.shape))}]"
    yield "temperature", f"{contract.temperature:g}"
    yield "abstains", f"below a probability of {contract.abstain_threshold:g}"


def _where_it_comes_from(training: dict[str, Any]) -> Iterator[Row]:
    """As far as the trainer that made it has noted it."""
    settings, rate = training.get("settings", {}), training.get("learning_rate", {})
    noted = {
        "architecture": training.get("architecture"),
        "weights": _with_digest(training.get("weights"), training.get("weights_sha256")),
        "data": _with_digest(settings.get("data"), training.get("data_digest")),
        "learning rate": f"{rate['lr']:.3g}: {rate['why']}" if rate else None,
        "confidence": rate.get("confidence"),
        "epochs": training.get("epochs"),
        "seed": training.get("seed"),
        "run": training.get("run"),
        "continued from": training.get("continued_from"),
        "versions": ", ".join(f"{name} {version}" for name, version in training.get("versions", {}).items()),
    }
    return ((name, str(value)) for name, value in noted.items() if value not in {None, ""})


def _with_digest(name: str | None, digest: str | None) -> str | None:
    return f"{name}, sha256 {digest}" if name and digest else name


def _table(rows: Sequence[Row]) -> Iterator[str]:
    """Columns under each other; a row of one cell stands alone."""
    wide = [row for row in rows if len(row) > 1]
    widths = [max(map(len, column)) for column in zip(*wide, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
