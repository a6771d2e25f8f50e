"""Answers of the services as JSON: the names are the messages' own, and every field is there."""

from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from fovea.v1 import classify_pb2 as pb
from server.http.problems import document_of


def classified(response: pb.ClassifyResponse) -> dict[str, Any]:
    """Written out: `plain` takes several times as long, and every call comes here."""
    model, timing = response.model, response.timing
    return {
        "predictions": [
            {"label": each.label, "index": each.index, "probability": each.probability}
            for each in response.predictions
        ],
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
    return {field.name: _value(getattr(message, field.name), field) for field in message.DESCRIPTOR.fields}


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
