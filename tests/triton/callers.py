"""tritonclient's two clients of the Open Inference Protocol behind one face: what differs is in here."""

import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pytest
from tritonclient import grpc, http
from tritonclient.utils import InferenceServerException

SIDE_BY_SIDE: Final = 16
"""Calls of one caller over HTTP; over gRPC there is no limit."""

_CODES: Final = {
    "400": "INVALID_ARGUMENT",
    "404": "NOT_FOUND",
    "500": "INTERNAL",
    "501": "UNIMPLEMENTED",
    "503": "UNAVAILABLE",
    "504": "DEADLINE_EXCEEDED",
}
"""HTTP's statuses by gRPC's names."""


class Caller:
    """A client that is connected. Answers are as JSON has them, refusals have gRPC's names."""

    def __init__(self, protocol: Any, client: Any) -> None:
        """Of the module `tritonclient.grpc` or `tritonclient.http`."""
        self._protocol = protocol
        self.client = client
        self._is_grpc = protocol is grpc

    def tensor(self, name: str, shape: Sequence[int], datatype: str, values: Any, **options: Any) -> Any:
        """An input with its data."""
        given = self._protocol.InferInput(name, list(shape), datatype)
        given.set_data_from_numpy(values, **options)
        return given

    def images(self, images: Sequence[bytes]) -> list[Any]:
        """The input of encoded images."""
        values = np.array(images, dtype=np.object_).reshape(-1, 1)
        return [self.tensor("image", (len(images), 1), "BYTES", values)]

    def output(self, name: str, best: int = 0) -> list[Any]:
        """An output, or its best classes."""
        return [self._protocol.InferRequestedOutput(name, class_count=best)]

    def infer(self, model: str, images: Sequence[bytes], **options: Any) -> Any:
        return self.client.infer(model, self.images(images), **options)

    def begin(self, model: str, images: Sequence[bytes]) -> Callable[[], Any]:
        """A call that goes on while others do; gives its result, or raises."""
        if not self._is_grpc:
            begun: Callable[[], Any] = self.client.async_infer(model, self.images(images)).get_result
            return begun
        ended: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self.client.async_infer(model, self.images(images), lambda result, error: ended.put((result, error)))

        def result() -> Any:
            answer, error = ended.get(timeout=30)
            if error is not None:
                raise error
            return answer

        return result

    def response(self, result: Any) -> dict[str, Any]:
        """All but the tensors' data."""
        return dict(result.get_response(**self._as_json))

    def server(self) -> dict[str, Any]:
        return dict(self.client.get_server_metadata(**self._as_json))

    def model(self, name: str) -> dict[str, Any]:
        return dict(self.client.get_model_metadata(name, **self._as_json))

    def index(self) -> list[dict[str, Any]]:
        listed = self.client.get_model_repository_index(**self._as_json)
        return list(listed["models"] if self._is_grpc else listed)

    def statistics(self, name: str) -> dict[str, Any]:
        (model,) = self.client.get_inference_statistics(name, **self._as_json)["model_stats"]
        return dict(model)

    def refusal(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[str, str]:
        """The status and the message of a call that fails."""
        with pytest.raises(InferenceServerException) as raised:
            call(*arguments, **options)
        status = str(raised.value.status())
        message = str(raised.value.message())
        return status.removeprefix("StatusCode.") if self._is_grpc else _CODES[status], message

    @property
    def _as_json(self) -> dict[str, bool]:
        return {"as_json": True} if self._is_grpc else {}


@contextmanager
def calling(protocol: str, target: str) -> Iterator[Caller]:
    """`protocol` is grpc or http."""
    if protocol == "grpc":
        with grpc.InferenceServerClient(target) as connected:
            yield Caller(grpc, connected)
    else:
        with http.InferenceServerClient(target, concurrency=SIDE_BY_SIDE) as connected:
            yield Caller(http, connected)
