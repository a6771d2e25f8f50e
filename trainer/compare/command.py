"""`compare`: two released models over the same images. It needs no torch."""

import logging
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from fovea.errors import DataInvalid
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.stopping import Stopping
from trainer.compare.comparison import Classes, compare_answers, in_words
from trainer.compare.page import render_page
from trainer.compare.record import ComparisonRecord, Measured, record_of
from trainer.compare.replay import replay
from trainer.compare.unlabelled import Unlabelled, compare_unlabelled
from trainer.config import CompareSettings
from trainer.evaluate.evaluation import EvaluatedModel
from trainer.evaluate.latency import Latency, describe_machine, measure_latency
from trainer.images.audit import check_bad, left_out
from trainer.images.sources import Sample, open_heldout
from trainer.runs.run_folder import COMPARISON_FILE, COMPARISON_PAGE, COMPARISONS, RunFolder

logger = logging.getLogger(__name__)

MOST_NAMED: Final = 5


def compare(settings: CompareSettings) -> None:
    """Writes compare.html and compare.json. Raises DataInvalid where the new model is worse, when all is
    written and said."""
    Stopping()
    folder = RunFolder.output(settings.output, COMPARISONS)
    new, old = (_open(uri, settings) for uri in (settings.bundle, settings.against))
    classes = Classes.of(new.bundle.contract, old.bundle.contract)
    classes.check_guards(settings.guard_class)
    known = tuple(dict.fromkeys((*new.labels, *old.labels)))
    held = open_heldout(
        settings.source, settings.cache_dir, known, settings.corrections, settings.captures, unlabelled=True
    )
    if held.passed_over.matters:
        logger.warning("files not taken: %s", held.passed_over.line())
    samples, others = classes.divide(held.samples)
    answers = replay(new, old, samples, settings.threads)
    check_bad(settings.source, answers.bad, len(samples), settings.max_bad_fraction)
    if answers.bad:
        logger.warning("%s", left_out(answers.bad))
    found = compare_answers(
        answers, new.bundle.contract, old.bundle.contract, settings.guard_class, settings.confidence
    )
    unlabelled = replay(new, old, held.unlabelled, settings.threads) if held.unlabelled else None
    moved = compare_unlabelled(unlabelled, new.labels, old.labels) if unlabelled else None
    record = record_of(settings, classes, answers, found, _measure(new, old, others, moved))
    folder = folder.claim()
    folder.write_json(COMPARISON_FILE, record.model_dump(mode="json"))
    shown = [answers.samples[change.place] for change in found.changes]
    page = render_page(record, shown, _samples_of(moved, held.unlabelled), new.bundle.contract.preprocess)
    folder.write_text(COMPARISON_PAGE, page)
    try:
        print("\n".join([*describe(record), "", str(folder.path / COMPARISON_PAGE)]), flush=True)
    finally:  # also when nobody reads what is printed
        if record.worse:
            raise DataInvalid(
                f"{settings.bundle} is worse than {settings.against}: {'; '.join(record.worse)}"
            )


def _open(uri: str, settings: CompareSettings) -> Classifier:
    """With one thread: each of several classifies batches of its own."""
    bundle: ModelBundle = versions.open_bundle(uri, settings.cache_dir)
    return Classifier(bundle, settings.device, 1, settings.precision)


def _samples_of(moved: Unlabelled | None, samples: Sequence[Sample]) -> list[Sample]:
    """Of each changed answer."""
    by_name = {str(sample): sample for sample in samples}
    return [by_name[change.path] for change in moved.changed] if moved else []


def _measure(
    new: Classifier, old: Classifier, others: dict[str, int], unlabelled: Unlabelled | None
) -> Measured:
    return Measured(
        new=EvaluatedModel.of(new),
        old=EvaluatedModel.of(old),
        new_speed=_speed(new),
        old_speed=_speed(old),
        machine=describe_machine(new, 1),
        images_of_other_classes=others,
        unlabelled=unlabelled,
    )


def _speed(classifier: Classifier) -> Latency:
    return measure_latency(classifier, np.asarray(classifier.bundle.golden().crops))


def describe(record: ComparisonRecord) -> Iterator[str]:
    """For a terminal: the accuracies, what changed, and the classes that moved most."""
    precision, accuracy = record.new.model.precision, in_words(record.paired)
    yield f"{record.new.title} against {record.old.title}, {precision}: accuracy {accuracy}"
    yield f"McNemar's test: p = {record.paired.mcnemar_p:.3g}"
    kinds = [change.kind for change in record.changed]
    yield (
        f"{len(kinds)} of {record.paired.images} answers changed: {kinds.count('fixed')} fixed, "
        f"{kinds.count('broken')} broken, {kinds.count('both wrong')} wrong before and after"
    )
    if record.unlabelled:
        yield str(record.unlabelled)
    for row in record.classes[:MOST_NAMED]:
        if row.paired.difference < 0:
            yield f"{row.label:>12}  recall {in_words(row.paired)}"
    yield (
        f"calibration error {record.old.ece:.4f} to {record.new.ece:.4f}, "
        f"loss {record.old.loss:.4f} to {record.new.loss:.4f}"
    )
    yield (
        f"one image {record.old.speed.single_ms:.1f} to {record.new.speed.single_ms:.1f} ms, "
        f"{record.old.speed.images_per_s:.0f} to {record.new.speed.images_per_s:.0f} images a second "
        f"({record.machine})"
    )
    for which, labels in (("new", record.only_new), ("old", record.only_old)):
        if labels:
            named = ", ".join(map(repr, labels[:MOST_NAMED]))
            yield f"only the {which} model has {named}; compared is what both have"
    if others := sum(record.images_of_other_classes.values()):
        yield f"{others} images of classes that one of them lacks are not compared"
