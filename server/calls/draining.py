"""The end of a server's calls: none that was accepted is lost, none that comes later goes without a word."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Final

import grpc

from server.queue.priorities import Admission

logger = logging.getLogger(__name__)

QUIET_S: Final = 0.1
LINGER_S: Final = 1.0
SEND_S: Final = 1.0


async def drain_calls(calls: grpc.aio.Server, admission: Admission, grace_s: float) -> bool:
    """Finishes what is in flight, refuses what comes, and stops. False when calls had to be cut.

    gRPC cuts calls that are on their way when it stops. So the refusals go on until none came for QUIET_S, or
    for LINGER_S at most: callers who hear UNAVAILABLE go elsewhere. Answers then have SEND_S to be sent.
    Streams end by themselves, once what was read of them is answered.
    """
    deadline = time.monotonic() + grace_s
    admission.close()
    with suppress(TimeoutError):
        await asyncio.wait_for(admission.empty(), grace_s)
    cut = admission.images
    if cut:
        logger.warning("the grace period is over: images in flight are given up", extra={"images": cut})
    else:
        await _until_quiet(admission, min(deadline, time.monotonic() + LINGER_S))
    await calls.stop(min(SEND_S, max(0.0, deadline - time.monotonic())))
    return not cut


async def _until_quiet(admission: Admission, deadline: float) -> None:
    quiet_at = time.monotonic() + QUIET_S
    while (now := time.monotonic()) < min(quiet_at, deadline):
        await asyncio.sleep(min(quiet_at, deadline) - now)
        quiet_at = admission.last_refusal + QUIET_S
