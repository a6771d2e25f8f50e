import asyncio
from typing import Any

from grpc_health.v1 import health_pb2

from server.health import SLOW_WATCHER_S, Health

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class TakesNoNews:
    """A watcher that reads nothing: writing to it never ends."""

    def __init__(self) -> None:
        self.is_told = asyncio.Event()

    async def write(self, response: health_pb2.HealthCheckResponse) -> None:
        self.is_told.set()
        await asyncio.Event().wait()


def test_a_watcher_that_takes_no_news_holds_nothing_up() -> None:
    async def become_ready_and_drain() -> int:
        health: Any = Health()
        await health.set_ready(True)
        stuck = TakesNoNews()
        watching = asyncio.create_task(
            health._beside_calls.Watch(health_pb2.HealthCheckRequest(service=""), stuck)
        )
        await stuck.is_told.wait()
        async with asyncio.timeout(5 * SLOW_WATCHER_S):
            await health.set_ready(False)
        watching.cancel()
        health.stop()
        return health._alone.responses[""].status

    assert asyncio.run(become_ready_and_drain()) == NOT_SERVING
