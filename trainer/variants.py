"""The exported model at other precisions: fp16 by conversion, int8 calibrated on training images."""

import logging
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from fovea.bundle import METADATA_KEY
from fovea.preprocess import Pixels

CALIBRATION_BATCH = 16
QUANTIZED = ("Conv", "Gemm", "MatMul")
"""The rest, the normalisation and softmax among it, stays float: it costs little and loses much."""


def write_fp16(model: Path, target: Path) -> None:
    """Weights and arithmetic in float16; pixels stay uint8, logits and probabilities float32."""
    half = convert_float_to_float16(onnx.load(model), keep_io_types=True, disable_shape_infer=False)
    _finish(half, model, target)


def write_int8(model: Path, target: Path, crops: Pixels) -> None:
    """Static QDQ quantization, per channel; crops uint8 [n, S, S, 3] are training images, n >= 1.

    Seven bits for the weights (`reduce_range`), as sums of eight-bit products overflow on CPUs without VNNI.
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
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(QUANTIZED),
            )
            _finish(onnx.load(quantized), model, target)
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


def _finish(variant: onnx.ModelProto, model: Path, target: Path) -> None:
    """The contract inside is the original's; what the converter notes of itself goes."""
    original = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    variant.producer_name, variant.producer_version, variant.doc_string = "fovea", "", ""
    variant.graph.name = "classifier"
    del variant.metadata_props[:]
    onnx.helper.set_model_props(variant, {METADATA_KEY: original[METADATA_KEY]})
    onnx.checker.check_model(variant, full_check=True)
    onnx.save(variant, target)
