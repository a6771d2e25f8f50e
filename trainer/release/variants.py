"""The exported model at other precisions: fp16 by conversion, int8 calibrated on training images."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from fovea.errors import GateRefused
from fovea.images.preprocess import Pixels
from fovea.images.spec import PreprocessSpec
from fovea.model.bundle import MODEL_FILE, BundleContract, OtherPrecision, Variant
from fovea.model.sessions import SessionOptions
from fovea.truth.known_classes import KnownClasses
from trainer.config import TrainSettings
from trainer.evaluate.metrics import Logits, Targets
from trainer.evaluate.task import STRATEGIES, Measured
from trainer.images.batches import Images
from trainer.images.crops import as_served
from trainer.images.data import DataSet
from trainer.release.gate import measure_released
from trainer.release.half import finish, write_fp16
from trainer.release.trial import survive
from trainer.truth.prediction_sets import Answered, prediction_sets

logger = logging.getLogger(__name__)

OTHER_PRECISIONS: Final[tuple[OtherPrecision, ...]] = get_args(OtherPrecision)
CALIBRATION_IMAGES = 256
CALIBRATION_BATCH = 16
QUANTIZED = ("Conv", "Gemm", "MatMul")
"""The rest, the normalisation and softmax among it, stays float: it costs little and loses much."""
MOST_OF_THE_DISTANCE: Final = 0.9
"""Of int8's probabilities from fp32's, that int8-full may have and be worth a file."""


@dataclass(frozen=True)
class ReleasedVariants:
    """Which of the other precisions are released, and why the rest is not."""

    variants: dict[OtherPrecision, Variant]
    left_out: dict[str, str]
    """precision -> why"""


def add_variants(
    folder: Path,
    contract: BundleContract,
    data: DataSet,
    known_classes: KnownClasses | None,
    expected: Logits,
    golden: Targets,
    settings: TrainSettings,
    threads: int,
) -> ReleasedVariants:
    """Writes the precisions that `settings` asks for beside the model.onnx that passed the gate.

    One whose held-out accuracy is more than `max_accuracy_drop` below fp32's, which is contract.metrics', is
    taken away again, with a warning; of several labels, one whose mean average precision or micro F1 is.
    int8-full also where it gains nothing over int8. Where int8 loses too much int8-full is tried, also if it
    was not asked for. `expected` float32
    [n, classes] are fp32's probabilities of data.heldout, `golden` int64 [n] the golden images' places in it.
    The metrics are of data.told.
    """
    variants: dict[OtherPrecision, Variant] = {}
    distances: dict[OtherPrecision, float] = {}
    left_out: dict[str, str] = {}
    for precision in OTHER_PRECISIONS:
        if precision not in settings.precisions and not (precision == "int8-full" and "int8" in left_out):
            continue
        file = folder / f"model.{precision}.onnx"
        try:
            _write(precision, folder / MODEL_FILE, file, data, contract, settings.seed)
            # Also where fast kernels are exact: those of a server may not be, and it must open it so.
            options = SessionOptions(threads, exact_sums=precision == "int8-full")
            survive(file, options.exact_sums)
            passed, probabilities = measure_released(file, contract, data.heldout, known_classes, options)
            measured = passed.measured
            _check_drop(contract, measured, settings.max_accuracy_drop)
            distances[precision] = float(np.abs(probabilities - expected).max(axis=1).mean())
            if precision == "int8-full" and "int8" in variants:
                _check_gain(distances["int8-full"], distances["int8"])
            told = None
            if data.test is not None:
                tested, on_test = measure_released(file, contract, data.test, known_classes, options)
                measured, told = tested.measured, Answered(data.test, on_test)
        except Exception as error:  # the converters raise whatever comes; fp32 is released all the same
            file.unlink(missing_ok=True)
            left_out[precision] = (str(error).splitlines() or [type(error).__name__])[0]
            logger.warning("%s is left out of the release: %s", precision, left_out[precision])
        else:
            rows = tuple(tuple(map(float, row)) for row in probabilities[golden])
            sets = None
            if known_classes:
                sets = prediction_sets(Answered(data.heldout, probabilities), told, settings.coverage)
            variants[precision] = Variant(
                file=file.name,
                metrics=measured.metrics,
                golden=rows,
                prediction_sets=sets,
                golden_distances=tuple(passed.distances[golden].tolist()) if known_classes else None,
                label_metrics=measured.label_metrics,
            )
    return ReleasedVariants(variants, left_out)


def _check_drop(contract: BundleContract, measured: Measured, allowed: float) -> None:
    fp32 = Measured(contract.metrics, contract.label_metrics)
    compared = [(STRATEGIES[contract.task].worth, fp32.worth, measured.worth)]
    if fp32.f1 is not None and measured.f1 is not None:
        compared.append(("micro F1 at its thresholds", fp32.f1, measured.f1))
    for name, expected, reached in compared:
        if expected - reached > allowed + 1e-9:
            raise GateRefused(
                f"its held-out {name} is {reached:.2%}, {expected - reached:.2%} below fp32's, "
                f"more than --max-accuracy-drop {allowed:.2%}"
            )


def _check_gain(distance: float, of_seven_bits: float) -> None:
    if distance > MOST_OF_THE_DISTANCE * of_seven_bits:
        raise GateRefused(
            f"it is no better than int8: its probabilities are {distance:.2g} from fp32's, "
            f"those of int8 {of_seven_bits:.2g}"
        )


def _write(
    precision: OtherPrecision, model: Path, target: Path, data: DataSet, contract: BundleContract, seed: int
) -> None:
    if precision == "fp16":
        write_fp16(model, target)
    else:
        crops = calibration_crops(data.train, contract.preprocess, seed)
        write_int8(model, target, crops, full_range=precision == "int8-full")


def calibration_crops(images: Images, spec: PreprocessSpec, seed: int) -> Pixels:
    """uint8 [at most 256, size, size, 3]: training images drawn by the seed, spread over the classes."""
    drawn = np.random.default_rng(seed).permutation(len(images))
    chosen = np.sort(drawn[spread_over_classes(images.targets[drawn], CALIBRATION_IMAGES)])
    return as_served(images, chosen, spec)


def spread_over_classes(targets: Targets, count: int) -> Targets:
    """The places of the first image of each class, then the second of each, and so on: `count` at most."""
    if targets.ndim > 1:  # of several labels, each combination is a class
        targets = np.unique(targets, axis=0, return_inverse=True)[1].reshape(len(targets))
    rank = np.zeros_like(targets)
    for target in np.unique(targets):
        rank[targets == target] = np.arange((targets == target).sum())
    return np.lexsort((targets, rank))[:count]


def write_int8(model: Path, target: Path, crops: Pixels, *, full_range: bool = False) -> None:
    """Static QDQ quantization, per channel; crops uint8 [n, S, S, 3] are training images, n >= 1.

    Weights have seven bits, or eight with `full_range`, whose sums saturate on processors without VNNI
    unless a session has `exact_sums`.
    """
    logging.getLogger("root").addFilter(_is_no_advice)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            quantized = Path(scratch) / "model.onnx"
            quantize_static(
                model,
                quantized,
                _Crops(crops),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=not full_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(QUANTIZED),
            )
            finish(onnx.load(quantized), model, target)
    finally:
        logging.getLogger("root").removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()


class _Crops(CalibrationDataReader):  # type: ignore[misc]
    """onnxruntime takes its calibration images from here, a batch at a time."""

    def __init__(self, crops: Pixels) -> None:
        starts = range(0, len(crops), CALIBRATION_BATCH)
        self._batches = iter([crops[start : start + CALIBRATION_BATCH] for start in starts])

    def get_next(self) -> dict[str, Pixels] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"pixels": batch}
