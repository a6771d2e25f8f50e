"""From a finished run to a published version: calibrate, export, gate, seal, check, publish."""

import logging
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from fovea import versions
from fovea.bundle import (
    MODEL_FILE,
    REPORT_FILE,
    BundleContract,
    Golden,
    Metrics,
    Precision,
    seal,
    write_golden,
)
from fovea.classifier import Classifier
from fovea.errors import DataInvalid
from fovea.storage import open_folder
from trainer.calibration import Calibration, calibrate
from trainer.checkpoint import Checkpoint
from trainer.config import TrainSettings
from trainer.data import DataSet, Images
from trainer.export import ServedNetwork, describe_tensors, export_onnx
from trainer.gate import Reference, pass_gate
from trainer.lineage import describe_lineage
from trainer.metrics import Logits, Targets, confusion, measure, softmax
from trainer.prediction import predict
from trainer.report import ReleasedFile, render_report
from trainer.run_folder import RELEASED_FILE, RunFolder
from trainer.stopping import Stopping
from trainer.variants import add_variants, spread_over_classes

logger = logging.getLogger(__name__)

GOLDEN_IMAGES = 16
FP32: Final[Precision] = "fp32"


@dataclass(frozen=True)
class Released:
    """A version that is out."""

    uri: str
    """of the version's folder"""
    metrics: Metrics


def release(
    run: RunFolder,
    checkpoint: Checkpoint,
    data: DataSet,
    settings: TrainSettings,
    models: str,
    threads: int,
    stopping: Stopping,
) -> Released:
    """Publishes the checkpoint's network under `models`; also writes the run's report.html and released.json.

    Raises GateRefused, and then nothing is published; Unavailable when `models` cannot be written. A signal
    ends it before the publishing or after released.json, so that what is published is known to the run.
    """
    heldout = data.heldout
    logits = predict(checkpoint.network, heldout, settings.batch_size)
    calibration = calibrate(logits, heldout.targets, settings.target_precision)
    probabilities = softmax(logits / calibration.temperature)
    name, lineage = open_folder(models).name, describe_lineage(run, checkpoint, settings)
    contract = _write_contract(name, lineage, checkpoint, calibration, heldout.targets, probabilities)
    with tempfile.TemporaryDirectory(dir=run.path, prefix=".staging-") as staging:
        folder = Path(staging)
        served = ServedNetwork(checkpoint.network.cpu(), calibration.temperature)
        export_onnx(served, contract, folder / MODEL_FILE)
        reference = Reference(heldout, probabilities, checkpoint.labels)
        metrics = pass_gate(folder / MODEL_FILE, contract, reference, threads)
        logger.info("the release gate is passed: accuracy %.2f %%", 100 * metrics.accuracy)

        contract = contract.model_copy(update={"metrics": metrics})
        golden = spread_over_classes(heldout.targets, GOLDEN_IMAGES)
        variants = add_variants(folder, contract, data, golden, settings, threads)
        contract = contract.model_copy(update={"variants": variants.kept})
        confused = confusion(probabilities.argmax(1), heldout.targets, len(checkpoint.labels))
        report = render_report(
            run, contract, calibration, confused, _describe(folder, contract, variants.left_out)
        )
        (folder / REPORT_FILE).write_text(report, encoding="utf-8")
        _write_golden(folder, heldout, probabilities, golden)
        staged = seal(folder, contract)
        for precision in (FP32, *variants.kept):  # the last check: as a server would open it
            Classifier(staged, provider="cpu", threads=threads, precision=precision)
        with stopping.deferred():
            published = versions.publish(staged, models)
            released = Released(f"{open_folder(models).uri}/{published.contract.version}", metrics)
            run.write_text(REPORT_FILE, report)
            run.write_json(
                RELEASED_FILE,
                {
                    "uri": released.uri,
                    "metrics": metrics.model_dump(mode="json"),
                    "temperature": calibration.temperature,
                },
            )
    return released


def read_released(run: RunFolder) -> Released | None:
    """What a run published, None where it has not. Raises DataInvalid when the record is damaged."""
    if not run.holds(RELEASED_FILE):
        return None
    record = run.read_json(RELEASED_FILE)
    try:
        return Released(record["uri"], Metrics.model_validate(record["metrics"]))
    except (KeyError, ValidationError) as error:
        raise DataInvalid(f"{run.path / RELEASED_FILE}: not the record of a release") from error


def _write_contract(
    name: str,
    lineage: dict[str, Any],
    checkpoint: Checkpoint,
    calibration: Calibration,
    targets: Targets,
    probabilities: Logits,
) -> BundleContract:
    """With the torch model's metrics, until the gate has measured the ONNX model's."""
    inputs, outputs = describe_tensors(checkpoint.preprocess.size, len(checkpoint.labels))
    return BundleContract(
        name=name,
        version=0,
        created=datetime.now(UTC),
        files={},
        labels=checkpoint.labels,
        preprocess=checkpoint.preprocess,
        inputs=inputs,
        outputs=outputs,
        metrics=measure(probabilities, targets, checkpoint.labels),
        temperature=calibration.temperature,
        abstain_threshold=calibration.abstain_threshold,
        training=lineage,
    )


def _describe(folder: Path, contract: BundleContract, left_out: dict[str, str]) -> list[ReleasedFile]:
    best = contract.metrics.accuracy
    kept = [
        (str(name), variant.file, variant.metrics.accuracy) for name, variant in contract.variants.items()
    ]
    return [
        *(
            ReleasedFile(name, (folder / file).stat().st_size / 1e6, accuracy, best - accuracy, None)
            for name, file, accuracy in [(str(FP32), MODEL_FILE, best), *kept]
        ),
        *(ReleasedFile(name, None, None, None, why) for name, why in left_out.items()),
    ]


def _write_golden(folder: Path, heldout: Images, probabilities: Logits, chosen: Targets) -> None:
    samples = [heldout.samples[index] for index in chosen]
    files = tuple(sample.read() for sample in samples)
    golden = Golden(files, heldout.pixels(chosen), probabilities[chosen])
    write_golden(folder, golden, tuple(sample.path.suffix.lower() for sample in samples))
