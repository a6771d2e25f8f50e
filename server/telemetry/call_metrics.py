"""What is counted of every call, whichever process answers it."""

from typing import Any, Final, NamedTuple, Protocol

import prometheus_client as prometheus

from fovea.oip import open_inference_pb2
from fovea.v1 import classify_pb2
from server.statuses import CODES, REASONS

# It would double the series, and Prometheus makes no use of it.
prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]

HTTP: Final = "HTTP "
"""Before a method's name: the call came over HTTP."""

_INFERENCE: Final = tuple(
    open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
)
METHODS: Final = (
    *classify_pb2.DESCRIPTOR.services_by_name["Classifier"].methods_by_name,
    *_INFERENCE,
    *(HTTP + method for method in ("Classify", "ClassifyBatch", "GetModel", "Crop", *_INFERENCE)),
)
SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Bounds of the buckets."""


class Family(NamedTuple):
    """A name of the metrics, with its labels and the values that each of them can have."""

    name: str
    text: str
    labels: dict[str, tuple[str, ...]]


REQUESTS: Final = Family(
    "fovea_requests", "Calls, by method and gRPC status code.", {"method": METHODS, "code": CODES}
)
REFUSED: Final = Family(
    "fovea_refused",
    "Calls, and images of calls, that were not answered, by reason.",
    {"reason": REASONS},
)
REQUEST_SECONDS: Final = Family(
    "fovea_request_seconds", "From a call's arrival to its answer, by method.", {"method": METHODS}
)


class Counted(Protocol):
    def inc(self, amount: float = 1) -> None: ...


class Counter(Protocol):
    def labels(self, *values: Any) -> Counted: ...


class Observed(Protocol):
    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """`exemplar` has the trace_id and the span_id of what took so long."""


class Histogram(Protocol):
    def labels(self, *values: Any) -> Observed: ...


class CallMetrics(Protocol):
    """The families above, to be counted in."""

    @property
    def requests(self) -> Counter: ...

    @property
    def refused(self) -> Counter: ...

    @property
    def request_seconds(self) -> Histogram: ...


class OwnCallMetrics:
    """Of a process that answers its calls itself. Every series is there from the start."""

    def __init__(self, registry: prometheus.CollectorRegistry | None) -> None:
        """None where nobody is to see them."""
        name, text, labels = REQUESTS
        self.requests = prometheus.Counter(name, text, [*labels], registry=registry)
        name, text, labels = REFUSED
        self.refused = prometheus.Counter(name, text, [*labels], registry=registry)
        name, text, labels = REQUEST_SECONDS
        self.request_seconds = prometheus.Histogram(name, text, [*labels], buckets=SECONDS, registry=registry)
        for method in METHODS:
            self.request_seconds.labels(method)
            for code in CODES:
                self.requests.labels(method, code)
        for reason in REASONS:
            self.refused.labels(reason)
