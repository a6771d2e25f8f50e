"""From a finished run to a published version: calibrate, export, gate, seal, check, publish."""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from fovea import tracing
from fovea.images.formats import image_path
from fovea.model import versions
from fovea.model.bundle import (
    MODEL_FILE,
    REPORT_FILE,
    BundleContract,
    ModelBundle,
    Precision,
    seal,
)
from fovea.model.classifier import Classifier
from fovea.model.golden import Golden, write_golden
from fovea.model.measured import LabelMetrics, Metrics, Opinion
from fovea.model.sessions import SessionOptions
from fovea.stopping import Stopping
from fovea.stores.storage import open_folder
from fovea.truth.known_classes import write_known_classes
from trainer.compare.weighing import Labelled, Put, cannot_be_compared, publish_unless_worse
from trainer.config import TrainSettings
from trainer.evaluate.calibration import Calibration
from trainer.evaluate.latency import describe_machine, measure_latency
from trainer.evaluate.metrics import Logits, Targets
from trainer.evaluate.prediction import predict
from trainer.evaluate.task import STRATEGIES
from trainer.images.audit import read_audit
from trainer.images.batches import Images
from trainer.images.data import DataSet
from trainer.network.checkpoint import Checkpoint
from trainer.release.beside_latest import Beside, beside_latest
from trainer.release.chosen import Chosen, OneLabel, Shown, choose
from trainer.release.export import describe_tensors, export_onnx
from trainer.release.gate import CHUNK, Reference, measure_released, pass_gate
from trainer.release.model_lineage import lineage_of
from trainer.release.publishing import Terms, drop_candidate, keep_candidate
from trainer.release.variants import add_variants, spread_over_classes
from trainer.report.released import ReleasedFiles, describe_files
from trainer.report.verdict import Verdict
from trainer.runs.lineage import Lineage
from trainer.runs.release_record import ReleaseRecord
from trainer.runs.run_folder import RunFolder
from trainer.truth.novelty import describe_novelty, embed_first, look_around
from trainer.truth.prediction_sets import Answered, prediction_sets, why_none

logger = logging.getLogger(__name__)

GOLDEN_IMAGES = 16
UNMEASURED: Final = Metrics(images=0, accuracy=0, loss=0, ece=0, per_class={})
FP32: Final[Precision] = "fp32"


@dataclass(frozen=True)
class Released:
    """A model that passed the gate."""

    uri: str
    """of the version's folder, or the candidate's: below candidates/, or in the run's folder where it is not
    published"""
    metrics: Metrics
    opinion: Opinion | None
    """None of a run that was released before there were any"""
    refusal: str | None = None
    """why it is not published, or not the latest"""
    digest: str | None = None
    """sha256 of the ONNX file; None of a run that was released by an older version"""
    is_worse: bool = False
    """than the latest, which is why it is refused"""
    label_metrics: LabelMetrics | None = None
    """of several labels an image"""

    @property
    def version(self) -> str | None:
        """None of a candidate, whose folder's name is no number."""
        name = self.uri.rpartition("/")[2]
        return name if name.isdecimal() and not self.refusal else None


def release(
    run: RunFolder,
    checkpoint: Checkpoint,
    data: DataSet,
    settings: TrainSettings,
    models: str,
    terms: Terms,
    threads: int,
    stopping: Stopping,
) -> Released:
    """Publishes the checkpoint's network under `models`; also writes the run's report.html and released.json.

    By `terms` it may not be published: then it is kept in the run's folder, and there is no released.json.
    Raises GateRefused, and then nothing is published; Unavailable when `models` cannot be written. A signal
    ends it before the publishing or after released.json, so that what is published is known to the run.
    """
    heldout, told = data.heldout, data.told
    logits = predict(checkpoint.network, heldout, settings.batch_size)
    chosen = choose(logits, heldout, settings)
    if isinstance(chosen, OneLabel):
        _tell_if_not_taken(chosen.calibration)
    probabilities = chosen.probabilities(logits)
    told_logits = logits if told is heldout else predict(checkpoint.network, told, settings.batch_size)
    name, lineage = open_folder(models).name, lineage_of(run, checkpoint, settings)
    contract = _write_contract(name, lineage, checkpoint, chosen, heldout.targets, probabilities)
    around = known_classes = None
    if heldout.task == "single":
        around = look_around(checkpoint.network, data, checkpoint.preprocess, settings.seed, CHUNK)
        known_classes = around.known_classes
    embeddings = around.heldout if around else embed_first(checkpoint.network, heldout, CHUNK)
    with tempfile.TemporaryDirectory(dir=run.path, prefix=".staging-") as staging:
        folder = Path(staging)
        served = chosen.served(checkpoint.network.cpu())
        with tracing.span("export"):
            export_onnx(served, contract, folder / MODEL_FILE)
        reference = Reference(heldout, probabilities, embeddings, known_classes, checkpoint.labels)
        tested = test_distances = None
        with tracing.span("gate"):
            passed = pass_gate(folder / MODEL_FILE, contract, reference, threads)
            measured = passed.measured
            if data.test is not None:
                passed_test, on_test = measure_released(
                    folder / MODEL_FILE, contract, data.test, known_classes, SessionOptions(threads)
                )
                measured, test_distances = passed_test.measured, passed_test.distances
                tested = Answered(data.test, on_test)
        worth = STRATEGIES[heldout.task].worth
        logger.info("the release gate is passed: %s %.2f %%", worth, 100 * measured.worth)

        golden = spread_over_classes(heldout.targets, GOLDEN_IMAGES)
        contract = contract.model_copy(update=vars(passed.measured))
        if around:
            novelty = describe_novelty(around, passed.distances, test_distances, settings.known_share, golden)
            write_known_classes(folder, around.known_classes)
            sets = prediction_sets(Answered(heldout, probabilities), tested, settings.coverage)
            if sets is None:
                logger.warning("%s", why_none(len(heldout), settings.coverage))
            unknown = {"prediction_sets": sets, "out_of_distribution": novelty}
            contract = contract.model_copy(update=unknown)
        released = add_variants(
            folder, contract, data, known_classes, probabilities, golden, settings, threads
        )
        told_of = chosen.told_of(told_logits, told)
        verdict = told_of.judge(measured, read_audit(run), settings)
        figures = {**vars(measured), "measured_on": "heldout" if data.test is None else "test"}
        contract = contract.model_copy(
            update={**figures, "variants": released.variants, "verdict": verdict.opinion}
        )
        _write_golden(folder, heldout, probabilities, golden)
        without_report = seal(folder, contract)
        files = _try_out(without_report, released.left_out, threads)
        images = Labelled(settings.source, told.samples, settings.max_bad_fraction, settings.cache_dir)
        refusal = terms.refusal(measured.metrics, verdict, measured.label_metrics)
        beside = beside_latest(
            without_report,
            models,
            terms.guard,
            images,
            threads,
            decides=terms.promote == "better" and not refusal,
            corrected=bool(data.corrections),
        )
        shown = Shown(told, told_logits, checkpoint.network, files, beside.weighed)
        report = told_of.render(run, contract, shown)
        (folder / REPORT_FILE).write_text(report, encoding="utf-8")
        staged = seal(folder, contract)
        put = _where_to(staged, models, terms, beside, images, threads)
        with stopping.deferred(), tracing.span("publish"):
            run.write_text(REPORT_FILE, report)
            return _publish(run, staged, verdict, refusal, put)


def _tell_if_not_taken(calibration: Calibration) -> None:
    if calibration.temperature != calibration.fitted:
        logger.info(
            "the temperature stays 1: the fitted one, %.3g, makes the calibration error worse",
            calibration.fitted,
        )


def _where_to(
    staged: ModelBundle,
    models: str,
    terms: Terms,
    beside: Beside,
    images: Labelled,
    threads: int,
) -> Callable[[], Put]:
    """What puts it there. A comparison takes its time, and a signal may end it: it was made before."""
    if terms.promote == "never":
        return lambda: Put(versions.put_candidate(staged, models), None)
    if terms.promote == "better" and beside.error:  # of the latest: the training is none the worse for it
        why = cannot_be_compared(beside.error)
        return lambda: Put(versions.put_candidate(staged, models), why)
    if terms.promote == "better" and beside.weighed:
        return partial(publish_unless_worse, staged, beside.weighed, models, images, terms.guard, threads)
    folder = open_folder(models)
    return lambda: Put(folder.folder(str(versions.publish(staged, models).contract.version)).uri, None)


def _publish(
    run: RunFolder,
    staged: ModelBundle,
    verdict: Verdict,
    refusal: str | None,
    put: Callable[[], Put],
) -> Released:
    """As `put` does, and the run knows of it; what is refused lies in the run's folder."""
    metrics, opinion, of_labels = staged.contract.metrics, verdict.opinion, staged.contract.label_metrics
    if refusal:
        candidate = str(keep_candidate(run, staged.path))
        return Released(candidate, metrics, opinion, refusal, staged.digest, label_metrics=of_labels)
    uri, worse = put()
    if worse:
        return Released(uri, metrics, opinion, worse, staged.digest, is_worse=True)
    released = Released(uri, metrics, opinion, digest=staged.digest, label_metrics=of_labels)
    drop_candidate(run)
    ReleaseRecord(
        uri=uri,
        metrics=metrics,
        verdict=opinion,
        digest=staged.digest,
        temperature=staged.contract.temperature,
        label_metrics=of_labels,
    ).write(run)
    return released


def read_released(run: RunFolder) -> Released | None:
    """What a run published, None where it has not. Raises DataInvalid when the record is damaged."""
    record = ReleaseRecord.read(run)
    if record is None:
        return None
    return Released(
        record.uri, record.metrics, record.verdict, digest=record.digest, label_metrics=record.label_metrics
    )


def _write_contract(
    name: str,
    lineage: Lineage,
    checkpoint: Checkpoint,
    chosen: Chosen,
    targets: Targets,
    probabilities: Logits,
) -> BundleContract:
    """With the torch model's metrics, until the gate has measured the ONNX model's."""
    inputs, outputs = describe_tensors(
        checkpoint.preprocess.size, len(checkpoint.labels), checkpoint.network.pooled_values
    )
    contract = BundleContract(
        name=name,
        version=0,
        created=datetime.now(UTC),
        files={},
        labels=checkpoint.labels,
        preprocess=checkpoint.preprocess,
        inputs=inputs,
        outputs=outputs,
        metrics=UNMEASURED,
        training=lineage.record(),
        image_path=image_path(),
        **chosen.terms(),
    )
    return contract.model_copy(
        update=vars(STRATEGIES[contract.task].measure(probabilities, targets, contract))
    )


def _try_out(staged: ModelBundle, left_out: dict[str, str], threads: int) -> ReleasedFiles:
    """The last check: each precision opened as a server would; then how fast it answers here."""
    crops, latencies, machine = staged.golden().crops, {}, ""
    for precision in (FP32, *staged.contract.variants):
        classifier = Classifier(staged, provider="cpu", threads=threads, precision=precision)
        latencies[str(precision)] = measure_latency(classifier, crops)
        machine = describe_machine(classifier, threads)
    return describe_files(staged.path, staged.contract, latencies, left_out, machine)


def _write_golden(folder: Path, heldout: Images, probabilities: Logits, chosen: Targets) -> None:
    samples = [heldout.samples[index] for index in chosen]
    files = tuple(sample.read() for sample in samples)
    golden = Golden(files, heldout.pixels(chosen), probabilities[chosen])
    write_golden(folder, golden, tuple(sample.path.suffix.lower() for sample in samples))
