"""What JSON answers consist of, as JSON Schema: the messages that they are made of, and the problem."""

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from fovea.v1 import classify_pb2 as pb
from server.http.answers import LEFT_OUT
from server.http.problems import HTTP

Json = dict[str, Any]

PROBLEM: Final = "Problem"
TORCHSERVE_ERROR: Final = "TorchServeError"
_WHOLE: Final = {"type": "integer", "minimum": 0}
_SCALARS: Final[dict[int, Json]] = {
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_UINT32: _WHOLE,
    FieldDescriptor.CPPTYPE_UINT64: _WHOLE,
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
}


def schemas() -> dict[str, Json]:
    """Of every message that answers are made of, and of the problem, by name."""
    found = {PROBLEM: _problem(), TORCHSERVE_ERROR: _torchserve_error()}
    waiting = [answer.DESCRIPTOR for answer in (pb.ClassifyBatchResponse, pb.GetModelResponse)]
    while waiting:
        message = waiting.pop()
        if message.name not in found:
            found[message.name] = _schema_of(message)
            fields = [field.message_type for field in message.fields]
            waiting += [each for each in fields if each is not None and each.file is pb.DESCRIPTOR]
    return found


def torchserve_answers() -> dict[str, Json]:
    """Of its paths: the status, predictions, the list of models, a model."""
    text: Json = {"type": "string"}
    flag: Json = {"type": "boolean"}
    worker = _with({"id": text, "status": {"enum": ["READY", "UNLOADING"]}, "gpu": flag})
    model: dict[str, Json] = {
        **dict.fromkeys(("modelName", "modelVersion", "modelUrl", "runtime"), text),
        **dict.fromkeys(("minWorkers", "maxWorkers", "batchSize", "maxBatchDelay"), _WHOLE),
        "loadedAtStartup": flag,
        "workers": {"type": "array", "items": worker},
    }
    named = _with({"modelName": text, "modelUrl": text})
    return {
        "status": _with({"status": {"enum": ["Healthy", "Unhealthy"]}}),
        "predictions": {"type": "object", "additionalProperties": {"type": "number"}},
        "models": _with({"models": {"type": "array", "items": named}}),
        "model": {"type": "array", "items": _with(model, "batchSize")},
    }


def model_list() -> Json:
    """Of `/v1/models`."""
    one = _with({"name": {"type": "string"}, "version": _WHOLE})
    return _with({"models": {"type": "array", "items": one, "minItems": 1}})


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _schema_of(message: Descriptor) -> Json:
    """As `server.http.answers` writes it: each field is there that is not optional, of a oneof the one that
    is set."""
    if choices := [each for each in message.oneofs if len(each.fields) > 1]:
        (choice,) = choices
        return {"oneOf": [_object([field]) for field in choice.fields]}
    # What the .proto says is optional is a oneof of its own. An empty list cannot be told from none there.
    optional = [each.fields[0].name for each in message.oneofs]
    return _object(message.fields, *optional, *(LEFT_OUT & {*message.fields_by_name}))


def _object(fields: Iterable[FieldDescriptor], *optional: str) -> Json:
    return _with({field.name: _value(field) for field in fields}, *optional)


def _with(properties: dict[str, Json], *optional: str) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _value(field: FieldDescriptor) -> Json:
    one = _message(field.message_type) if field.message_type else _SCALARS[field.cpp_type]
    return {"type": "array", "items": one} if field.is_repeated else one


def _message(message: Descriptor) -> Json:
    if message.full_name == Timestamp.DESCRIPTOR.full_name:
        return {"type": "string", "format": "date-time"}
    return ref(PROBLEM if message.full_name == Status.DESCRIPTOR.full_name else message.name)


def _problem() -> Json:
    """RFC 9457's members, and ours, as `server.http.problems` writes them."""
    text: Json = {"type": "string"}
    properties: dict[str, Json] = {
        "title": text,
        "status": {"type": "integer"},
        "detail": text,
        "code": {"enum": [*HTTP]},
        "errors": {"type": "array", "items": _with({"field": text, "detail": text})},
        "retry_after_s": {"type": "number"},
    }
    return _with(properties, "errors", "retry_after_s")


def _torchserve_error() -> Json:
    return _with({"code": {"type": "integer"}, "type": {"type": "string"}, "message": {"type": "string"}})
