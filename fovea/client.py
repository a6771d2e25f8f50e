"""The Python client of a Fovea server, and a command to try it with.

    with Client("dns:///fovea:8001") as client:
        print(client.classify("cat.jpg").label)

`python -m fovea.client IMAGE... --target HOST:PORT` prints a table, or JSON lines with `--json`.
"""

if __name__ == "__main__":
    from fovea import entry

    entry.run("fovea.client_command")  # runs this program to its end

import io
import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, cast

import grpc
import numpy as np
import numpy.typing as npt
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image, ImageOps

from fovea.errors import DataInvalid, ExitCode, FoveaError
from fovea.preprocess import as_rgb
from fovea.v1 import classify_pb2, classify_pb2_grpc

if TYPE_CHECKING:
    _Call = grpc._CallFuture[classify_pb2.ClassifyResponse]

ImageLike = str | PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]
"""A path, an encoded image, a PIL image, or uint8 [height, width, 3]; the last two travel as PNG."""

DEFAULT_TIMEOUT_S: Final = 10.0
MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024

_SERVICE: Final = "fovea.v1.Classifier"
_SERVICE_CONFIG: Final = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": _SERVICE},
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    "methodConfig": [
        {
            "name": [{"service": _SERVICE}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


@dataclass(frozen=True)
class Prediction:
    """One label with its index in the model's output and its probability in [0, 1]."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Timing:
    """Where the server spent the time, in microseconds; `batch_size` images were computed together."""

    decode_us: int
    queue_us: int
    batch_size: int
    compute_us: int


@dataclass(frozen=True)
class ModelVersion:
    """Which model answered; `digest` is the sha256 of its ONNX file."""

    name: str
    version: int
    digest: str


@dataclass(frozen=True)
class Classification:
    """The answer for one image. `predictions` are best first and may be empty under a min_probability."""

    predictions: tuple[Prediction, ...]
    abstained: bool
    model: ModelVersion
    timing: Timing
    request_id: str

    @property
    def label(self) -> str:
        """The best label. Raises IndexError when no prediction reached min_probability."""
        return self.predictions[0].label

    @property
    def probability(self) -> float:
        """The best label's probability."""
        return self.predictions[0].probability


class CallFailed(FoveaError):
    """The server did not classify the image.

    `code` is the gRPC status; `field` the request's field that is wrong, where the server named one;
    `retry_after_s` how long to wait before another try, where it said so.
    """

    def __init__(
        self, code: grpc.StatusCode, message: str, field: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.retry_after_s = retry_after_s

    @property
    def exit_code(self) -> ExitCode:  # type: ignore[override]
        """69 where another try may help, 65 where the request or the image is at fault."""
        at_fault = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
        return ExitCode.BAD_DATA if self.code in at_fault else ExitCode.UNAVAILABLE


class Client:
    """A connection to one server, or to all behind a DNS name, in turn and only to those that are ready.

    Calls are retried when a server is UNAVAILABLE, with backoff, within their deadline. May be used from
    several threads.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`target` is `host:port`, or `dns:///host:port` to balance over every address of a headless service.

        `timeout_s` is the deadline of each call. Nothing is sent before the first call.
        """
        options = [
            ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
            ("grpc.max_send_message_length", -1),  # the server's own limit answers with a reason
            ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        ]
        self._timeout_s = timeout_s
        self._channel = (
            grpc.secure_channel(target, credentials, options)
            if credentials
            else grpc.insecure_channel(target, options)
        )
        self._stub = classify_pb2_grpc.ClassifierStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def classify(
        self,
        image: ImageLike,
        *,
        top_k: int = 1,
        min_probability: float = 0.0,
        model_version: int = 0,
        request_id: str = "",
    ) -> Classification:
        """Classifies one image. Raises CallFailed, or DataInvalid when the file cannot be read."""
        request = classify_pb2.ClassifyRequest(
            image=encoded(image),
            top_k=top_k,
            min_probability=min_probability,
            model_version=model_version,
            request_id=request_id,
        )
        try:
            return _classification(self._stub.Classify(request, timeout=self._timeout_s))
        except grpc.RpcError as error:
            raise _failure(error) from error

    def classify_many(
        self, images: Iterable[ImageLike], *, top_k: int = 1, model_version: int = 0, window: int = 16
    ) -> Iterator[Classification | FoveaError]:
        """Classifies images as they come, `window` of them in flight, and yields in their order.

        An image that fails yields its error (CallFailed or DataInvalid) instead of raising it, so that one
        bad image does not end the others.
        """
        pending: deque[_Call | DataInvalid] = deque()
        try:
            for image in images:
                pending.append(self._send(image, top_k, model_version))
                if len(pending) >= window:
                    yield _outcome(pending.popleft())
            while pending:
                yield _outcome(pending.popleft())
        finally:
            for call in pending:
                if not isinstance(call, FoveaError):
                    call.cancel()

    def get_model(self, model_version: int = 0) -> classify_pb2.GetModelResponse:
        """The served model: labels, preprocessing, metrics, provider. Raises CallFailed."""
        request = classify_pb2.GetModelRequest(model_version=model_version)
        try:
            return self._stub.GetModel(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise _failure(error) from error

    def _send(self, image: ImageLike, top_k: int, model_version: int) -> "_Call | DataInvalid":
        try:
            data = encoded(image)
        except DataInvalid as error:
            return error
        request = classify_pb2.ClassifyRequest(
            image=data, top_k=top_k, model_version=model_version, priority=classify_pb2.PRIORITY_BULK
        )
        return self._stub.Classify.future(request, timeout=self._timeout_s)


def encoded(image: ImageLike) -> bytes:
    """The bytes that travel for an image. Raises DataInvalid for what cannot be read or is no image."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | PathLike):
        try:
            return Path(image).read_bytes()
        except OSError as error:
            raise DataInvalid(f"{image}: cannot be read: {error.strerror}") from error
    picture = image if isinstance(image, Image.Image) else _picture(image)
    data = io.BytesIO()
    try:
        # A server would do both itself, but PNG holds neither every mode nor a turned image.
        as_rgb(ImageOps.exif_transpose(picture)).save(data, "PNG")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataInvalid(f"the image of mode {picture.mode} cannot be sent: {error}") from error
    return data.getvalue()


def _picture(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    if not isinstance(pixels, np.ndarray):
        raise DataInvalid(f"an image is a path, bytes, a PIL image or an array, not {type(pixels).__name__}")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        given = f"{pixels.dtype} {list(pixels.shape)}"
        raise DataInvalid(f"an array must be uint8 [height, width, 3], not {given}")
    return Image.fromarray(pixels)


def _outcome(call: "_Call | DataInvalid") -> Classification | FoveaError:
    if isinstance(call, FoveaError):
        return call
    try:
        return _classification(call.result())
    except grpc.RpcError as error:
        return _failure(error)


def _classification(response: classify_pb2.ClassifyResponse) -> Classification:
    model, timing = response.model, response.timing
    return Classification(
        predictions=tuple(Prediction(p.label, p.index, p.probability) for p in response.predictions),
        abstained=response.abstained,
        model=ModelVersion(model.name, model.version, model.digest),
        timing=Timing(timing.decode_us, timing.queue_us, timing.batch_size, timing.compute_us),
        request_id=response.request_id,
    )


def _failure(error: grpc.RpcError) -> CallFailed:
    call = cast("grpc.Call", error)  # every RpcError that a client sees is one
    violation, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    status = rpc_status.from_call(call)
    for detail in status.details if status else []:
        detail.Unpack(violation)
        detail.Unpack(retry)
    return CallFailed(
        call.code(),
        call.details() or call.code().name,
        violation.field_violations[0].field if violation.field_violations else "",
        retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )
