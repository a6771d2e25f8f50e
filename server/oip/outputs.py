"""What a request wants to know of its images, and the response that tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fovea.model.bundle import EMBEDDING
from fovea.model.classifier import Probabilities, top_k
from fovea.model.task import selected
from fovea.oip import open_inference_pb2 as pb
from server.calls.details import label_set, wants_of
from server.compute import wants
from server.compute.wants import DISTANCE, DRAW, LOGITS
from server.errors import FieldInvalid
from server.models.model import Classified, Model
from server.oip.aliases import ModelAlias, quoted
from server.oip.inputs import LENGTH
from server.oip.parameters import classification_of, refuse_shared_memory

__all__ = ["Wanted", "flags_of", "outputs_of", "response", "wanted_of"]


BY_DEFAULT: Final = ("probabilities", "logits", "label", "selected")
"""Where a request names none, of those that the model has: the others cost something."""


class Output(NamedTuple):
    """One that a model has."""

    datatype: Literal["FP32", "BOOL", "BYTES"]
    size: int
    """How many values it has of an image."""
    flag: int = 0
    """What an image wants for it, see `server.compute.wants`."""


def outputs_of(model: Model) -> dict[str, Output]:
    """By name; those that not every model has come last."""
    contract = model.contract
    classes = len(contract.labels)
    outputs = {
        "probabilities": Output("FP32", classes),
        "logits": Output("FP32", classes, LOGITS),
        "label": Output("BYTES", 1),
    }
    if contract.thresholds is not None:
        outputs["selected"] = Output("BOOL", classes)
    details = {
        "distance": Output("FP32", 1, DISTANCE),
        "unknown": Output("BOOL", 1, DISTANCE),
        "label_set": Output("BOOL", classes, DRAW),
        "embedding": Output("FP32", contract.output_values.get(EMBEDDING, 0), wants.EMBEDDING),
    }
    can = wants_of(model)
    return outputs | {name: output for name, output in details.items() if output.flag & can}


@dataclass(frozen=True)
class Wanted:
    """One output, as its numbers or, with `best`, as the names of so many of the best classes.

    Raises FieldInvalid where it has no number for each class.
    """

    name: str
    best: int | None = None

    def __post_init__(self) -> None:
        if self.best is not None and self.name not in ("probabilities", "logits"):
            raise FieldInvalid("outputs", "classification is of numbers: ask for it with 'probabilities'")


def wanted_of(request: pb.ModelInferRequest, alias: ModelAlias, model: Model) -> list[Wanted]:
    """In the request's order; those of every model where it names none. Raises FieldInvalid."""
    outputs = outputs_of(model)
    wanted: dict[str, Wanted] = {}
    for output in request.outputs:
        if output.name not in outputs:
            there_are = ", ".join(f"'{name}'" for name in outputs)
            raise FieldInvalid(
                "outputs", f"'{alias.name}' has no output {quoted(output.name)}: it has {there_are}"
            )
        if output.name in wanted:
            raise FieldInvalid("outputs", f"the output '{output.name}' is asked for twice")
        refuse_shared_memory(output.parameters, output.name)
        wanted[output.name] = Wanted(output.name, classification_of(output.parameters))
    return [*wanted.values()] or [Wanted(name) for name in BY_DEFAULT if name in outputs]


def flags_of(wanted: Sequence[Wanted], model: Model) -> int:
    """What an image wants for all of them."""
    outputs = outputs_of(model)
    return reduce(or_, (outputs[each.name].flag for each in wanted))


def response(
    alias: ModelAlias,
    model: Model,
    request_id: str,
    wanted: Sequence[Wanted],
    images: Sequence[Classified],
) -> pb.ModelInferResponse:
    """All data is raw, in the order of `outputs`."""
    labels, version = model.contract.labels, str(model.contract.version)
    answer = pb.ModelInferResponse(model_name=alias.name, model_version=version, id=request_id)
    for output in wanted:
        if output.name == "label":
            rows = [[labels[image.best]] for image in images]
            _add_texts(answer, output.name, rows)
        elif output.best:
            numbers = np.stack([_row(output.name, model, image) for image in images])
            _add_texts(answer, output.name, _best_classes(numbers, output.best, labels))
        else:
            numbers = np.stack([_row(output.name, model, image) for image in images])
            is_bool = numbers.dtype == np.bool_
            answer.outputs.add(name=output.name, datatype="BOOL" if is_bool else "FP32", shape=numbers.shape)
            raw = numbers if is_bool else numbers.astype("<f4", copy=False)
            answer.raw_output_contents.append(raw.tobytes())
    return answer


def _row(name: str, model: Model, image: Classified) -> npt.NDArray[Any]:
    """Of one image: [values], float32 or bool."""
    if name == "probabilities":
        return image.probabilities
    if name == "selected":
        return selected(image.probabilities, model.contract.thresholds or ())
    details = image.details
    assert details is not None  # noqa: S101 - it was wanted
    if name == "label_set":
        row = np.zeros(len(model.contract.labels), np.bool_)
        row[label_set(model, details)] = True
        return row
    if name == "unknown":
        novelty = model.contract.out_of_distribution
        assert novelty is not None  # noqa: S101 - else it has no such output
        return np.array([novelty.is_unknown(details.distance or 0.0)])
    return np.atleast_1d(np.asarray(getattr(details, name), np.float32))


def _best_classes(numbers: Probabilities, count: int, labels: Sequence[str]) -> list[list[str]]:
    """`value:index:label`, best first, of all classes at most; six digits, as Triton writes them."""
    order, values = top_k(numbers, count)
    return [
        [f"{value:f}:{index}:{labels[index]}" for index, value in zip(indices, row, strict=True)]
        for indices, row in zip(order.tolist(), values.tolist(), strict=True)
    ]


def _add_texts(answer: pb.ModelInferResponse, name: str, rows: Sequence[Sequence[str]]) -> None:
    answer.outputs.add(name=name, datatype="BYTES", shape=[len(rows), len(rows[0])])
    elements = (text.encode() for row in rows for text in row)
    answer.raw_output_contents.append(b"".join(LENGTH.pack(len(text)) + text for text in elements))
