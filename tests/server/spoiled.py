"""Versions that must never be served. Each function spoils a staged bundle in its own way."""

import io
from collections.abc import Callable

import numpy as np
import onnx

from fovea.model import bundle as bundles
from fovea.model.bundle import ModelBundle
from fovea.model.golden import GOLDEN_FILE


def change_a_byte(staged: ModelBundle) -> ModelBundle:
    staged.model_path.write_bytes(with_another_byte(staged.model_path.read_bytes()))
    return staged


def corrupt_the_model(staged: ModelBundle) -> ModelBundle:
    staged.model_path.write_bytes(b"this is no ONNX file")
    return bundles.seal(staged.path, staged.contract)


def change_the_golden_answers(staged: ModelBundle) -> ModelBundle:
    golden = staged.golden()
    data = io.BytesIO()
    np.savez(data, crops=golden.crops, probabilities=golden.probabilities[:, ::-1])
    (staged.path / GOLDEN_FILE).write_bytes(data.getvalue())
    return bundles.seal(staged.path, staged.contract)


def swap_two_labels(staged: ModelBundle) -> ModelBundle:
    first, second, *others = staged.contract.labels
    return bundles.seal(staged.path, staged.contract.model_copy(update={"labels": (second, first, *others)}))


def take_other_crops(staged: ModelBundle) -> ModelBundle:
    """The model loads, but fails on every batch."""
    model = onnx.load(staged.model_path)
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        dimension.dim_value += 1
    onnx.save(model, staged.model_path)
    return bundles.seal(staged.path, staged.contract)


SPOILED: dict[Callable[[ModelBundle], ModelBundle], str] = {
    change_a_byte: r"model\.onnx: changed since it was released",
    corrupt_the_model: "onnxruntime cannot load it",
    change_the_golden_answers: "golden check failed",
    swap_two_labels: r"bundle\.json and the contract inside model\.onnx differ",
    take_other_crops: "INVALID_ARGUMENT",
}
"""How, and what the refusal then says."""


def with_another_byte(data: bytes) -> bytes:
    """Twice is the data again."""
    return data[:-1] + bytes([data[-1] ^ 1])
