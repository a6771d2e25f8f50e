"""Calls of the Open Inference Protocol over HTTP, and what their answers say."""

import base64
import json
import struct
from typing import Any

from google.protobuf.json_format import MessageToDict

from fovea.oip import open_inference_pb2 as pb
from tests.server.http.calls import Answer, answer_of, connection_to
from tests.servers import ServerProcess

JSON_BYTES = "Inference-Header-Content-Length"


class Reply(Answer):
    """With binary data behind its JSON, or without."""

    @property
    def json(self) -> Any:
        return json.loads(self.body[: int(self.headers.get(JSON_BYTES, len(self.body)))])

    @property
    def binary(self) -> bytes:
        return self.body[int(self.headers.get(JSON_BYTES, len(self.body))) :]

    @property
    def refusal(self) -> tuple[int, str, str]:
        """Status, the field that is blamed, and what is said of it; to each kind of client."""
        problem = self.json
        assert problem["error"] == problem["detail"]
        assert problem["status"] == self.status
        assert self.headers["Content-Type"] == "application/json"
        (blamed,) = problem.get("errors", [{"field": ""}])
        return self.status, blamed["field"], problem["detail"]


class Rest:
    """A connection to a server, kept open."""

    def __init__(self, server: ServerProcess) -> None:
        self._connection = connection_to(server)

    def get(self, path: str) -> Reply:
        return self._call("GET", path, None, {})

    def post(self, path: str, body: bytes | dict[str, Any] = b"", **headers: str) -> Reply:
        """Headers have _ for -."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._call(
            "POST", path, sent, {name.replace("_", "-"): each for name, each in headers.items()}
        )

    def infer(self, request: pb.ModelInferRequest, **parameters: Any) -> Reply:
        """As `message_as_json` has it."""
        document, binary = message_as_json(request)
        if parameters:
            document.setdefault("parameters", {}).update(parameters)
        path = f"/v2/models/{request.model_name}"
        if request.model_version:
            path += f"/versions/{request.model_version}"
        return self.post_parts(f"{path}/infer", document, binary)

    def post_parts(self, path: str, document: dict[str, Any], binary: bytes, **headers: str) -> Reply:
        """JSON with binary data behind it, if there is any."""
        body = json.dumps(document).encode()
        if binary:
            headers[JSON_BYTES] = str(len(body))
        return self.post(path, body + binary, **headers)

    def close(self) -> None:
        self._connection.close()

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        self._connection.request(method, path, body, headers)
        answer = answer_of(self._connection.getresponse())
        return Reply(answer.status, answer.headers, answer.body)


def message_as_json(request: pb.ModelInferRequest) -> tuple[dict[str, Any], bytes]:
    """Raw contents are binary data; typed ones are in the JSON, encoded images as base64."""
    document: dict[str, Any] = {"inputs": [_input(each) for each in request.inputs]}
    if request.id:
        document["id"] = request.id
    if request.parameters:
        document["parameters"] = _parameters(request.parameters)
    if request.outputs:
        document["outputs"] = [
            {"name": each.name, "parameters": _parameters(each.parameters)} for each in request.outputs
        ]
    for tensor, raw in zip(document["inputs"], request.raw_input_contents, strict=False):
        tensor.setdefault("parameters", {})["binary_data_size"] = len(raw)
    return document, b"".join(request.raw_input_contents)


def tensors_of(reply: Reply) -> dict[str, tuple[str, list[int], list[Any]]]:
    """Name -> datatype, shape, elements; in their order."""
    binary = reply.binary
    tensors = {}
    for output in reply.json["outputs"]:
        if "data" in output:
            elements = output["data"]
        else:
            size = output["parameters"]["binary_data_size"]
            elements, binary = elements_of(output["datatype"], binary[:size]), binary[size:]
        tensors[output["name"]] = output["datatype"], output["shape"], elements
    assert not binary
    return tensors


def tensors_of_message(response: pb.ModelInferResponse) -> dict[str, tuple[str, list[int], list[Any]]]:
    return {
        output.name: (output.datatype, list(output.shape), elements_of(output.datatype, raw))
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def elements_of(datatype: str, raw: bytes) -> list[Any]:
    if datatype == "FP32":
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    if datatype == "BOOL":
        return [bool(byte) for byte in raw]
    elements = []
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        elements.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    return elements


def _input(tensor: pb.ModelInferRequest.InferInputTensor) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape),
    }
    if tensor.parameters:
        given["parameters"] = _parameters(tensor.parameters)
    if tensor.contents.bytes_contents:
        given["data"] = [base64.b64encode(each).decode() for each in tensor.contents.bytes_contents]
        given["parameters"] = {"content_type": "base64"}
    elif tensor.HasField("contents"):
        ((_, numbers),) = tensor.contents.ListFields()
        given["data"] = list(numbers)
    return given


def _parameters(parameters: Any) -> dict[str, Any]:
    chosen = {name: each.WhichOneof("parameter_choice") for name, each in parameters.items()}
    return {name: getattr(parameters[name], which) if which else None for name, which in chosen.items()}


def as_dict(message: Any) -> dict[str, Any]:
    """As protobuf itself writes it, with 64-bit numbers as text."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
