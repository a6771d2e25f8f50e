"""What a request wants to know of its images, and the response that tells it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fovea.model.bundle import BundleContract
from fovea.model.classifier import Probabilities, top_k
from fovea.oip import open_inference_pb2 as pb
from server.errors import FieldInvalid
from server.models.model import Classified
from server.oip.aliases import OUTPUTS, ModelAlias, quoted
from server.oip.inputs import LENGTH
from server.oip.parameters import classification_of, refuse_shared_memory

__all__ = ["Wanted", "response", "wanted_of"]


@dataclass(frozen=True)
class Wanted:
    """One output, as its numbers or, with `best`, as the names of so many of the best classes.

    Raises FieldInvalid where there are no numbers.
    """

    name: str
    best: int | None = None

    def __post_init__(self) -> None:
        if self.best is not None and self.name == "label":
            raise FieldInvalid("outputs", "classification is of numbers: ask for it with 'probabilities'")


def wanted_of(request: pb.ModelInferRequest, alias: ModelAlias) -> list[Wanted]:
    """In the request's order; all outputs where it names none. Raises FieldInvalid."""
    wanted: dict[str, Wanted] = {}
    for output in request.outputs:
        if output.name not in OUTPUTS:
            there_are = ", ".join(f"'{name}'" for name in OUTPUTS)
            raise FieldInvalid(
                "outputs", f"'{alias.name}' has no output {quoted(output.name)}: it has {there_are}"
            )
        if output.name in wanted:
            raise FieldInvalid("outputs", f"the output '{output.name}' is asked for twice")
        refuse_shared_memory(output.parameters, output.name)
        wanted[output.name] = Wanted(output.name, classification_of(output.parameters))
    return [*wanted.values()] or [Wanted(name) for name in OUTPUTS]


def response(
    alias: ModelAlias,
    contract: BundleContract,
    request_id: str,
    wanted: Sequence[Wanted],
    images: Sequence[Classified],
) -> pb.ModelInferResponse:
    """All data is raw, in the order of `outputs`."""
    labels, version = contract.labels, str(contract.version)
    answer = pb.ModelInferResponse(model_name=alias.name, model_version=version, id=request_id)
    for output in wanted:
        if output.name == "label":
            rows = [[labels[image.best]] for image in images]
            _add_texts(answer, output.name, rows)
        elif output.best:
            _add_texts(answer, output.name, _best_classes(_numbers(output.name, images), output.best, labels))
        else:
            numbers = _numbers(output.name, images)
            answer.outputs.add(name=output.name, datatype="FP32", shape=numbers.shape)
            answer.raw_output_contents.append(numbers.astype("<f4", copy=False).tobytes())
    return answer


def _numbers(name: str, images: Sequence[Classified]) -> Probabilities:
    """float32 [n, classes]"""
    if name == "probabilities":
        return np.stack([image.probabilities for image in images])
    details = [image.details for image in images if image.details is not None]
    return np.stack([each.logits for each in details if each.logits is not None])


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
