"""What the model says, as the messages of classify.proto."""

import numpy as np

from fovea.model.classifier import top_k
from fovea.v1 import classify_pb2 as pb
from server.models.served_model import Classified, ServedModel


def response(
    model: ServedModel, classified: Classified, count: int, min_probability: float, request_id: str
) -> pb.ClassifyResponse:
    """`count` predictions at most, best first, none below `min_probability`."""
    labels, probabilities = model.contract.labels, classified.probabilities
    # The best one is known, and most callers ask for no other.
    best = [classified.best] if count == 1 else top_k(probabilities[np.newaxis], count)[0][0].tolist()
    predictions = [
        pb.Prediction(label=labels[index], index=index, probability=probability)
        for index in best
        if (probability := float(probabilities[index])) >= min_probability
    ]
    return pb.ClassifyResponse(
        predictions=predictions,
        abstained=classified.abstained,
        model=model.identity,
        timing=_timing(classified),
        request_id=request_id,
    )


def model_description(model: ServedModel) -> pb.GetModelResponse:
    contract = model.contract
    described = pb.GetModelResponse(
        model=model.identity,
        labels=contract.labels,
        preprocess=_preprocess(model),
        metrics=_metrics(model),
        abstain_threshold=contract.abstain_threshold,
        loaded_versions=[contract.version],
        provider=model.provider,
        precision=model.precision,
    )
    described.created.FromDatetime(contract.created)
    return described


def _timing(classified: Classified) -> pb.Timing:
    return pb.Timing(
        decode_us=round(classified.decode_s * 1e6),
        queue_us=round(classified.queue_s * 1e6),
        batch_size=classified.batch_size,
        compute_us=round(classified.compute_s * 1e6),
    )


def _preprocess(model: ServedModel) -> pb.Preprocess:
    spec = model.contract.preprocess
    return pb.Preprocess(
        size=spec.size, resize=spec.resize, interpolation=spec.interpolation, digest=spec.digest
    )


def _metrics(model: ServedModel) -> pb.Metrics:
    measured = model.contract.metrics
    return pb.Metrics(
        accuracy=measured.accuracy, loss=measured.loss, ece=measured.ece, images=measured.images
    )
