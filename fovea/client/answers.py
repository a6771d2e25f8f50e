"""What a server answers, as the client gives it: a Classification, or CallFailed."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import grpc

from fovea.errors import ExitCode, FoveaError
from fovea.proxies import way_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fovea.v1 import classify_pb2


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
class LabelSet:
    """The labels among which the truth is, in `coverage` of all images; none for some of the surest ones."""

    labels: tuple[str, ...]
    """The most probable first."""
    coverage: float


@dataclass(frozen=True)
class Classification:
    """The answer for one image. `predictions` are best first and may be empty under a min_probability.

    `unknown`, `distance`, `label_set` and `embedding` are None unless they were wanted.
    """

    predictions: tuple[Prediction, ...]
    abstained: bool
    model: ModelVersion
    timing: Timing
    request_id: str
    unknown: bool | None = None
    """Whether the image is unlike all that the model was trained on, with `distance`."""
    distance: float | None = None
    """By how many standard deviations its embedding is off the nearest class: from 0, about 1 is usual."""
    label_set: LabelSet | None = None
    embedding: tuple[float, ...] | None = None
    """What the model's last layers read of the image, of length 1."""
    selected: tuple[Prediction, ...] | None = None
    """Of a multi-label model, each label that the image has, the most probable first, whatever top_k and
    min_probability leave of `predictions`; `()` where it has none of them. None of a model whose labels
    exclude each other."""

    @property
    def label(self) -> str:
        """The best label, of a multi-label model the most probable one, selected or not. Raises IndexError
        when no prediction reached min_probability."""
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
        """69 where another try may help, 65 where the request, its token or the image is at fault."""
        return ExitCode.BAD_DATA if self.code in _AT_FAULT else ExitCode.UNAVAILABLE


_AT_FAULT: Final = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
}


def classification(response: "classify_pb2.ClassifyResponse") -> Classification:
    """What came over the wire, as the client's own."""
    model, timing = response.model, response.timing
    return Classification(
        predictions=_predictions(response.predictions),
        abstained=response.abstained,
        model=ModelVersion(model.name, model.version, model.digest),
        timing=Timing(timing.decode_us, timing.queue_us, timing.batch_size, timing.compute_us),
        request_id=response.request_id,
        **_details(response),
    )


def _predictions(predictions: "Iterable[classify_pb2.Prediction]") -> tuple[Prediction, ...]:
    return tuple(Prediction(each.label, each.index, each.probability) for each in predictions)


def _details(response: "classify_pb2.ClassifyResponse") -> dict[str, Any]:
    """What was wanted beside, and what is of a multi-label model; of most answers nothing."""
    details: dict[str, Any] = {}
    if response.HasField("selected"):
        details["selected"] = _predictions(response.selected.labels)
    if response.HasField("distance"):
        details |= {"unknown": response.unknown, "distance": response.distance}
    if response.HasField("label_set"):
        details["label_set"] = LabelSet(tuple(response.label_set.labels), response.label_set.coverage)
    if response.embedding:
        details["embedding"] = tuple(response.embedding)
    return details


def failure(error: grpc.RpcError, name: str = "", proxy: str = "", obstacle: str = "") -> CallFailed:
    """The status that a call ended with, and the details beside it.

    `name` is the image's, where it has one; `proxy` what the call went through, where nobody answered it;
    `obstacle` what kept it from every server till its deadline, where that is known.
    """
    from google.rpc import error_details_pb2  # which a call that is answered does without
    from grpc_status import rpc_status

    call = cast("grpc.Call", error)  # every RpcError that a client sees is one
    violation, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    status = rpc_status.from_call(call)
    for detail in status.details if status else []:
        detail.Unpack(violation)
        detail.Unpack(retry)
    reason = _plain(call.details() or call.code().name)
    if obstacle:
        reason = f"{reason}: {_plain(obstacle)}"
    if call.code() in _UNANSWERED or _HTTP_STATUS in reason:
        reason += way_of(proxy)
    return CallFailed(
        call.code(),
        f"{name}: {reason}" if name else reason,
        violation.field_violations[0].field if violation.field_violations else "",
        retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )


_UNANSWERED: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
_HTTP_STATUS: Final = "HTTP status"


def _plain(details: str) -> str:
    """Without what gRPC's load balancing and its TLS say around the reason."""
    reason = re.sub(r"^connections to all backends failing; last error: ([A-Z]+: )?", "", details)
    layers = r"Tls handshake failed \(\w+\): SSL_ERROR_SSL: error:[^:]*:[^:]*:[^:]*:"
    reason = re.sub(layers, "the TLS handshake failed: ", reason)
    reason = re.sub(r"(: Invalid certificate verification context)?: OK$", "", reason)
    reason = re.sub("^Received http2 header with status: ", f"not gRPC, but {_HTTP_STATUS} ", reason)
    return reason.replace("backend unhealthy", "not ready to serve")
