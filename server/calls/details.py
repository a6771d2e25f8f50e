"""What a call may ask of its images beside their predictions, and the answers to that."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from fovea.model.task import selected_labels
from fovea.truth.sets import label_sets
from fovea.v1 import classify_pb2 as pb
from server.compute.wants import DISTANCE, DRAW, EMBEDDING, Details, Row
from server.errors import FieldInvalid
from server.models.model import Model

FLAGS: Final = {"want_distance": DISTANCE, "want_label_set": DRAW, "want_embedding": EMBEDDING}
"""By the request's field."""
WITHOUT: Final = {
    "want_distance": "distances",
    "want_label_set": "label sets",
    "want_embedding": "embeddings",
}
"""What a model may have been released without."""


def check_wants(wants: int, model: Model) -> None:
    """Raises FieldInvalid for what the model cannot say."""
    can = wants_of(model)
    for field, flag in FLAGS.items():
        if wants & flag and not can & flag:
            raise FieldInvalid(field, f"{field}: the model was released without {WITHOUT[field]}")


def wants_of(model: Model) -> int:
    """All that may be wanted of it but logits."""
    contract = model.contract
    return (
        (contract.out_of_distribution is not None) * DISTANCE
        | (contract.sets_of(model.precision) is not None) * DRAW
        | contract.gives_embeddings * EMBEDDING
    )


def add_details(response: pb.ClassifyResponse, model: Model, details: Details, wants: int) -> None:
    """Those that the caller wants; others may be there for the metrics."""
    novelty = model.contract.out_of_distribution
    if wants & DISTANCE and novelty is not None and details.distance is not None:
        response.distance = details.distance
        response.unknown = novelty.is_unknown(details.distance)
    if details.draw is not None and (sets := model.contract.sets_of(model.precision)):
        response.label_set.coverage = sets.coverage
        response.label_set.labels.extend(model.contract.labels[each] for each in label_set(model, details))
    if details.embedding is not None:
        response.embedding.extend(details.embedding.tolist())


def add_selected(
    response: pb.ClassifyResponse,
    probabilities: Row,
    labels: Sequence[str],
    thresholds: Sequence[float],
) -> None:
    """Of a multi-label model, of whose labels these are the probabilities [labels]. The field is there also
    where it holds none."""
    response.selected.SetInParent()
    for index in selected_labels(probabilities[np.newaxis], thresholds)[0]:
        response.selected.labels.add(
            label=labels[index], index=index, probability=float(probabilities[index])
        )


def label_set(model: Model, details: Details) -> list[int]:
    """The labels' indices, the most probable first."""
    sets = model.contract.sets_of(model.precision)
    if sets is None or details.draw is None:
        return []
    return label_sets(details.probabilities[np.newaxis], np.array([details.draw]), sets.quantile)[0]
