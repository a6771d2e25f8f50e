"""A server's life, read downwards: startup, serve, shutdown."""

import asyncio
import logging
import os
import signal
import time
from dataclasses import asdict, dataclass

from fovea.errors import ExitCode
from server.access.access import access_of, kind_of
from server.access.scrapes import scrapes_of
from server.config import ServeSettings
from server.fronts.call_server import CallServer, Door
from server.fronts.count import fronts_of
from server.fronts.fronts import Fronts
from server.fronts.page import Page, SummedCallMetrics
from server.models.captures import captures_of
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel
from server.models.watchers import Watchers
from server.net.health import Health
from server.net.ports import serve_metrics
from server.net.tls import certificates_of
from server.queue.priorities import Admission
from server.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


async def serve(settings: ServeSettings) -> ExitCode:
    """Serves until SIGTERM or SIGINT.

    Raises Unavailable for a port, provider or bucket that cannot be had, BundleInvalid for the model,
    either for the files of TLS and of tokens.
    """
    stop = _stop_signal()
    server = Server(settings)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.look_now)
    try:
        ports = await server.open_ports()
        loading = asyncio.create_task(server.load(ports))
        await asyncio.wait((loading, stop), return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
            await server.become_ready(ports)
            loading = asyncio.create_task(server.follow_versions())
        signum = await stop
        loading.cancel()
        logger.info("draining", extra={"signal": signum.name})
        drained = await server.drain()
        await asyncio.wait((loading,))  # it ends the processes that it has started
        return _exit_code(signum, drained=drained)
    finally:
        await server.close()


@dataclass(frozen=True)
class Ports:
    """The ports that were bound."""

    port: int
    http_port: int | None
    """None where HTTP is not spoken."""
    metrics_port: int
    health_port: int


class Server:
    """Its ports and its models. Is made in the event loop that it serves in."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._certificates = certificates_of(settings)
        self._access = access_of(settings)
        fronts = fronts_of(settings)
        page = Page.create(fronts) if fronts > 1 else None
        calls_elsewhere = SummedCallMetrics(page) if page else None
        self._metrics = Metrics(calls_elsewhere, several=settings.has_several)
        self._health = Health()
        self._models: Catalogue[ServedModel] = Catalogue(settings.default_model)
        self._captures = captures_of(settings, self._metrics)
        self._watchers = Watchers(settings, self._models, self._metrics, self._captures)
        self._door = self._fronts(page) if page else self._own_door()
        self._telling: asyncio.Task[None] | None = None
        self._has_begun = False
        """Every model that the server begins with is there."""

    def _own_door(self) -> Door:
        settings = self._settings
        limits = settings.queue_capacity, settings.max_inflight_bytes
        admission = Admission(*limits, models=self._models.count if settings.has_several else None)
        models = self._models.for_calls(several=settings.has_several)
        metrics = self._metrics.calls
        watchers, health = self._watchers, self._health
        return CallServer(
            settings, self._certificates, self._access, models, watchers, admission, health, metrics
        )

    def _fronts(self, page: Page) -> Door:
        return Fronts(self._settings, self._models, self._watchers, self._health, page)

    async def open_ports(self) -> Ports:
        """Answers from here on, HTTP a moment later: health says live, calls are refused without a model."""
        settings = self._settings
        door = await self._door.open()
        scrapes = scrapes_of(settings, self._access)
        metrics_port = serve_metrics(self._metrics.registry, settings.host, settings.metrics_port, scrapes)
        health_port = self._health.start(settings.host, settings.health_port)
        logger.debug("the ports are open")
        return Ports(*door, metrics_port, health_port)

    async def load(self, ports: Ports) -> None:
        """Fetches, checks and warms the model; with --wait-for-model, once there is one."""
        if self._captures is not None:  # of several models the first answers before the last is there
            self._captures.begin()
        self._metrics.inflight_images.set_function(lambda: self._door.in_flight.images)
        self._metrics.inflight_bytes.set_function(lambda: self._door.in_flight.bytes)
        models = self._settings.model_root or ",".join(self._settings.models)
        waits = {"models": models, **asdict(ports)}

        def announce(_: object) -> None:
            logger.info("waiting for a version to be published", extra=waits)

        if self._settings.wait_for_model:  # one of several may answer long before the others are there
            self._telling = asyncio.create_task(self._tell_readiness())
        opening = asyncio.create_task(self._door.has_opened())
        loading = asyncio.create_task(self._watchers.load_first(lambda: opening.add_done_callback(announce)))
        try:
            await asyncio.wait((opening, loading), return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in (opening, loading):
                task.cancel()  # which one that is done does not mind
            await asyncio.gather(opening, loading, return_exceptions=True)
        for task in (loading, opening):
            if not task.cancelled():
                task.result()

    async def become_ready(self, ports: Ports) -> None:
        """Says so: in health, and in the log with the ports, for whoever started us with port 0."""
        await self._door.has_heard()
        self._has_begun = True
        self._show_readiness()
        await self._door.has_heard()
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_readiness())
        facts = {
            **self._models_facts(),
            "tls": self._certificates.kind if self._certificates else "off",
            "access": kind_of(self._access),
        }
        logger.info("ready", extra={**asdict(ports), **facts})

    def _models_facts(self) -> dict[str, object]:
        """For the log."""
        models = self._models.live
        if self._settings.has_several:
            return {"models": ",".join(sorted(f"{m.contract.name}/{m.contract.version}" for m in models))}
        (model,) = models
        return {
            "model": model.contract.name,
            "version": model.contract.version,
            "provider": model.provider,
            "precision": model.precision,
        }

    async def follow_versions(self) -> None:
        """Takes each newer version while the calls go on."""
        await self._watchers.follow()

    def look_now(self) -> None:
        """Looks for a newer version before the next look is due."""
        self._watchers.look_now()

    async def drain(self) -> bool:
        """Serves on for the drain delay, then finishes what is in flight. False when calls had to be cut.

        What was captured of it is written in what is left of the grace.
        """
        if self._telling is not None:
            self._telling.cancel()
        self._health.set_ready(False)
        self._door.follow_health()
        if self._models.live:
            await asyncio.sleep(self._settings.drain_delay_s)
        ends = time.monotonic() + self._settings.grace_s
        drained = await self._door.drain(self._settings.grace_s)
        await self._watchers.end_shadow()
        if self._captures is not None:
            await self._captures.close(ends - time.monotonic())
        return drained

    async def _tell_readiness(self) -> None:
        """Without a process that computes, or one that answers, others shall get the calls."""
        async for _ in self._models.readiness():
            self._show_readiness()

    def _show_readiness(self) -> None:
        able = [model.contract.name for model in self._models.live if model.has_workers]
        if self._door.is_open:
            self._health.set_ready(self._has_begun and self._models.is_ready, able)
        else:
            self._health.set_ready(False)
        self._door.follow_health()

    async def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        try:
            await self._watchers.stop()
            await self._door.close()
            await self._models.close()
            await self._watchers.close()
        finally:
            self._health.stop()


def _stop_signal() -> asyncio.Future[signal.Signals]:
    """Resolves at the first SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[signal.Signals] = loop.create_future()

    def received(signum: signal.Signals) -> None:
        if stop.done():
            os._exit(_exit_code(signum, drained=False))
        stop.set_result(signum)

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, received, signum)
    return stop


def _exit_code(signum: signal.Signals, *, drained: bool) -> ExitCode:
    if signum is signal.SIGINT:
        return ExitCode.INTERRUPTED
    return ExitCode.DONE if drained else ExitCode.TERMINATED
