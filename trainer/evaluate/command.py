"""`evaluate` and `inspect`: the commands that examine a released model. They need no torch."""

import logging
from typing import get_args

import onnx

from fovea.errors import BundleInvalid, DataInvalid
from fovea.model import versions
from fovea.model.bundle import METADATA_KEY, BundleContract, ModelBundle, Precision
from fovea.model.classifier import Classifier
from fovea.stopping import Stopping
from trainer.config import EvaluateSettings, InspectSettings
from trainer.evaluate.descriptions import describe_bundle, describe_evaluation
from trainer.evaluate.evaluation import Evaluation, evaluate_samples
from trainer.evaluate.evaluation_record import record_of
from trainer.evaluate.label_evaluation import (
    check_map,
    describe_label_evaluation,
    evaluate_labels,
)
from trainer.evaluate.part_of_training import open_part
from trainer.images.audit import left_out
from trainer.images.labelling import ONE_LABEL, Labelling
from trainer.images.sources import Heldout, open_heldout
from trainer.options import sources_of
from trainer.runs.lineage import Lineage
from trainer.runs.run_folder import EVALUATION_FILE, EVALUATIONS, RunFolder

logger = logging.getLogger(__name__)


def evaluate(settings: EvaluateSettings) -> None:
    """`evaluate`: how a released model does on labelled images. Writes evaluation.json.

    Raises DataInvalid where the accuracy is below --min-accuracy, when all is written and said.
    """
    Stopping()
    folder = RunFolder.output(settings.output, EVALUATIONS)
    bundle = versions.open_bundle(settings.bundle, settings.cache_dir)
    held = _open(settings, bundle.contract)
    if held.passed_over.matters:
        logger.warning("files not taken: %s", held.passed_over.line())
    classifier = Classifier(bundle, settings.device, settings.threads, settings.precision)
    if held.part is None and settings.source == _trained_on(bundle.contract):
        logger.warning(
            "the model was trained on images of %s: the accuracy flatters it; --part %s takes those that it "
            "was not trained on",
            settings.source,
            "test" if bundle.contract.measured_on == "test" else "val",
        )
    if not folder.proposed:
        (folder.path / EVALUATION_FILE).unlink(missing_ok=True)  # of other images, should these be refused
    if bundle.contract.task == "multi":
        _evaluate_labels(classifier, held, settings, folder)
        return
    evaluation = evaluate_samples(
        classifier, settings.source, held.samples, settings.threads, settings.max_bad_fraction
    )
    if evaluation.bad:
        logger.warning("%s", left_out(evaluation.bad))
    folder = folder.claim()
    record = record_of(evaluation, settings, held)
    folder.write_json(EVALUATION_FILE, record.model_dump(mode="json"))
    try:
        print("\n".join(describe_evaluation(evaluation, bundle.contract)))
        print(f"\n{folder.path / EVALUATION_FILE}", flush=True)
    finally:  # also when nobody reads what is printed
        _check_accuracy(evaluation, settings.min_accuracy)


def _evaluate_labels(
    classifier: Classifier, held: Heldout, settings: EvaluateSettings, folder: RunFolder
) -> None:
    record = evaluate_labels(classifier, held, settings)
    if record.quarantined:
        logger.warning("%s", left_out(record.quarantined))
    folder = folder.claim()
    folder.write_json(EVALUATION_FILE, record.model_dump(mode="json"))
    try:
        print("\n".join(describe_label_evaluation(record, classifier.bundle.contract)))
        print(f"\n{folder.path / EVALUATION_FILE}", flush=True)
    finally:  # also when nobody reads what is printed
        check_map(record, settings.min_accuracy)


def _open(settings: EvaluateSettings, contract: BundleContract) -> Heldout:
    source, corrections, captures = settings.source, settings.corrections, settings.captures
    labelling = Labelling(contract.task, settings.label_separator, settings.label_columns)
    if contract.task == "single" and labelling != ONE_LABEL:
        raise DataInvalid("--label-separator and --label-columns are of a multi-label model; this one is not")
    if contract.task == "multi" and (corrections or captures):
        raise DataInvalid(
            "a multi-label model is measured on one --data: correct its labels in the CSV itself"
        )
    if settings.part is None:
        return open_heldout(
            source, settings.cache_dir, contract.labels, corrections, captures, labelling=labelling
        )
    held = open_part(
        source, corrections, captures, settings.part, contract, settings.cache_dir, settings.threads
    )
    logger.info(
        "of %s, split as for the training, %d images of %s are taken", source, len(held.samples), held.part
    )
    return held


def inspect(settings: InspectSettings) -> None:
    """`inspect`: what a released model is, for a person or as JSON. Raises BundleInvalid if it is damaged."""
    Stopping()
    bundle = versions.open_bundle(settings.bundle)
    _check_embedded(bundle)
    contract = bundle.contract
    print(contract.model_dump_json(indent=2) if settings.as_json else "\n".join(describe_bundle(bundle)))


def _trained_on(contract: BundleContract) -> str | None:
    data = Lineage.of(contract.training).settings.get("data")
    return sources_of(data)[0] if data else None


def _check_embedded(bundle: ModelBundle) -> None:
    """The contract stands in the ONNX files too, whose digests bundle.json cannot change unseen."""
    for precision in get_args(Precision):
        if precision != "fp32" and precision not in bundle.contract.variants:
            continue
        model = onnx.load(bundle.file_of(precision), load_external_data=False)
        embedded = {entry.key: entry.value for entry in model.metadata_props}.get(METADATA_KEY)
        if embedded != bundle.contract.embedded():
            raise BundleInvalid(f"{bundle.path}: bundle.json and the contract inside {precision} differ")


def _check_accuracy(evaluation: Evaluation, least: float | None) -> None:
    if least is not None and evaluation.metrics.accuracy < least:
        raise DataInvalid(
            f"the accuracy of {evaluation.metrics.accuracy:.2%} is below --min-accuracy {least:g}"
        )
