"""What keeps a channel's calls from every server, for an error whose deadline passed amid the retries."""

from typing import TYPE_CHECKING, Final, cast

import grpc

if TYPE_CHECKING:
    from grpc import aio

_CHECK: Final = "/grpc.health.v1.Health/Check"
"""The service config has retries for the classifier alone: this ends with what is met now."""
_SOON_S: Final = 0.05


def obstacle(channel: grpc.Channel, error: grpc.RpcError) -> str:
    """In gRPC's words; "" where the call ended otherwise, a server is there, or nothing is known so soon."""
    if not _is_cut_off(error):
        return ""
    check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_CHECK)
    try:
        check(b"", timeout=_SOON_S)
    except grpc.RpcError as met:
        return _reason(met)
    except ValueError:  # the channel was closed meanwhile
        return ""
    return ""


async def async_obstacle(channel: "aio.Channel", error: grpc.RpcError) -> str:
    """As `obstacle`."""
    if not _is_cut_off(error):
        return ""
    check: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_CHECK)
    try:
        await check(b"", timeout=_SOON_S)
    except grpc.RpcError as met:
        return _reason(met)
    except grpc.aio.UsageError:
        return ""
    return ""


def _is_cut_off(error: grpc.RpcError) -> bool:
    """By this side's deadline: a server that refuses for the time says so in other words."""
    call = cast("grpc.Call", error)
    return call.code() is grpc.StatusCode.DEADLINE_EXCEEDED and call.details() == "Deadline Exceeded"


def _reason(met: grpc.RpcError) -> str:
    call = cast("grpc.Call", met)
    return call.details() or "" if call.code() is grpc.StatusCode.UNAVAILABLE else ""
