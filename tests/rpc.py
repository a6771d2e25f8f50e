"""What gRPC's stubs do not say of its types."""

from typing import TYPE_CHECKING, Protocol, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    _Watched = grpc._CallIterator[health_pb2.HealthCheckResponse]


def call_of(error: grpc.RpcError | None) -> grpc.Call:
    """The call that failed: a client's RpcError is one, which the stubs hold for impossible."""
    failed: object = error
    assert isinstance(failed, grpc.Call)
    return failed


class HealthStub(Protocol):
    """`grpc_health.v1.health_pb2_grpc.HealthStub` with its methods."""

    def Check(  # noqa: N802 - the proto's name
        self, request: health_pb2.HealthCheckRequest, timeout: float
    ) -> health_pb2.HealthCheckResponse: ...

    def Watch(self, request: health_pb2.HealthCheckRequest, timeout: float) -> "_Watched": ...  # noqa: N802


def health_stub(channel: grpc.Channel) -> HealthStub:
    return cast("HealthStub", health_pb2_grpc.HealthStub(channel))
