"""`labels`: the labels that are most likely wrong, ranked, on a page to go through."""

import logging
from collections.abc import Iterator
from typing import Final

from fovea.settings import as_saved
from fovea.stopping import Stopping
from trainer.config import LabelsSettings
from trainer.evaluate.calibration import fit_temperature
from trainer.evaluate.metrics import Logits, measure, softmax
from trainer.label_errors.folds import ALWAYS_TRAINED_ON, deal
from trainer.label_errors.held_out import Search
from trainer.label_errors.page import render_page
from trainer.label_errors.suspects import (
    CORRECTIONS_FILE,
    PAGE_FILE,
    SUSPECTS_FILE,
    SuspectsRecord,
    as_corrections,
    describe_suspects,
    find_suspects,
)
from trainer.label_errors.worth import doubt_of_worth
from trainer.preparation import prepare_every_image
from trainer.runs.run_folder import LABELS, RunFolder

logger = logging.getLogger(__name__)

MOST_NAMED: Final = 10


def labels(settings: LabelsSettings) -> None:
    """Writes suspects.html, suspects.json and corrections.csv, and prints the first of them.

    What is broken off goes on with the same options and --output. Raises what its parts raise, Terminated
    (SIGTERM) and KeyboardInterrupt.
    """
    stopping = Stopping()
    folder = RunFolder.output(settings.output, LABELS)
    start = prepare_every_image(settings)
    images = start.data.heldout
    groups = [sample.group for sample in images.samples if sample.group is not None]
    fold_of = deal(images.targets, start.data.together, settings.folds, settings.seed, groups)
    folder = folder.claim()
    with folder.locked():
        search = Search(start, fold_of, settings, folder)
        search.begin()
        decision = search.learning_rate(stopping)
        logits = search.logits(decision, stopping)
        with stopping.deferred():
            record = _write(search, logits, decision.lr)
            search.end()
    print("\n".join(_describe(record, folder)), flush=True)


def _write(search: Search, logits: Logits, lr: float) -> SuspectsRecord:
    data, judged = search.start.data, search.fold_of != ALWAYS_TRAINED_ON
    targets = data.heldout.targets
    temperature = fit_temperature(logits[judged], targets[judged])
    probabilities = softmax(logits / temperature)
    listed, kept = find_suspects(data, search.fold_of, probabilities)
    metrics = measure(probabilities[judged], targets[judged], data.labels, 0.0)
    record = SuspectsRecord(
        settings=as_saved(search.settings),
        data_digest=data.digest,
        images=len(targets),
        judged=int(judged.sum()),
        kept=kept,
        folds=search.settings.folds,
        accuracy=metrics.accuracy,
        warning=doubt_of_worth(metrics, len(listed) + kept, search.settings.weights),
        learning_rate=lr,
        temperature=temperature,
        labels=data.labels,
        suspects=describe_suspects(data, listed, probabilities),
    )
    if record.warning:
        logger.warning("%s", record.warning)
    search.output.write_text(PAGE_FILE, render_page(record, data.heldout.chosen(listed)))
    search.output.write_text(CORRECTIONS_FILE, as_corrections(record.suspects))
    search.output.write_json(SUSPECTS_FILE, record.model_dump(mode="json"))
    return record


def _describe(record: SuspectsRecord, folder: RunFolder) -> Iterator[str]:
    yield ""
    if record.warning:
        yield record.warning
        yield ""
    yield (
        f"{len(record.suspects)} of {record.judged} labels are doubted; {record.accuracy:.2%} are what a "
        "network says that was not trained on the image"
    )
    for suspect in record.suspects[:MOST_NAMED]:
        may_be = f"may be {suspect.suggested!r} ({suspect.probability:.1%})"
        yield f"{suspect.rank:>5}  {suspect.path}: {suspect.label!r}, {may_be}"
    if len(record.suspects) > MOST_NAMED:
        yield f"       and {len(record.suspects) - MOST_NAMED} more"
    yield ""
    yield f"these are suspicions, not findings: look at each in {folder.path / PAGE_FILE}"
    yield f"what is proposed is in {folder.path / CORRECTIONS_FILE}, as `--data` takes it after the images"
