"""Answers of the services as JSON: the names are the messages' own, and every field is there."""

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from fovea.v1 import classify_pb2 as pb
from server.http.problems import document_of

LEFT_OUT: Final = {"embedding", "thresholds"}
"""Lists that are there for who wants them, or of some models, alone."""


def classified(response: pb.ClassifyResponse) -> dict[str, Any]:
    """Written out: `plain` takes several times as long, and every call comes here. What only some callers
    want is there for them alone."""
    model, timing = response.model, response.timing
    answer = {
        "predictions": _predictions(response.predictions),
        "abstained": response.abstained,
        "model": {"name": model.name, "version": model.version, "digest": model.digest},
        "timing": {
            "decode_us": timing.decode_us,
            "queue_us": timing.queue_us,
            "batch_size": timing.batch_size,
            "compute_us": timing.compute_us,
        },
        "request_id": response.request_id,
    }
    if response.HasField("selected"):
        answer["selected"] = {"labels": _predictions(response.selected.labels)}
    if response.HasField("distance"):
        answer |= {"unknown": response.unknown, "distance": response.distance}
    if response.HasField("label_set"):
        sets = response.label_set
        answer["label_set"] = {"labels": [*sets.labels], "coverage": sets.coverage}
    if response.embedding:
        answer["embedding"] = [*response.embedding]
    return answer


def _predictions(predictions: Iterable[pb.Prediction]) -> list[dict[str, Any]]:
    return [
        {"label": each.label, "index": each.index, "probability": each.probability} for each in predictions
    ]


def classified_batch(response: pb.ClassifyBatchResponse) -> dict[str, Any]:
    """A result is `response`, or `error`, which is a problem as a call's own would be."""
    return {
        "results": [
            {"response": classified(result.response)}
            if result.HasField("response")
            else {"error": document_of(result.error)}
            for result in response.results
        ],
        "model": plain(response.model),
        "request_id": response.request_id,
    }


def plain(message: Message) -> dict[str, Any]:
    """Any message that holds neither lists of enums nor maps of messages.

    Its numbers are numbers, where protobuf's own JSON writes those of 64 bits as strings.
    """
    return {
        field.name: _value(getattr(message, field.name), field)
        for field in message.DESCRIPTOR.fields
        if _is_there(message, field)
    }


def _is_there(message: Message, field: Any) -> bool:
    """What is optional may be absent."""
    if field.name in LEFT_OUT:
        return bool(getattr(message, field.name))
    return field.containing_oneof is None or message.HasField(field.name)


def _value(value: Any, field: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    if field.message_type.GetOptions().map_entry:
        return dict(value)
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    return [plain(each) for each in value] if field.is_repeated else plain(value)
