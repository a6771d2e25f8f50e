"""Several processes answer the calls; what computes, and all that there is once, stays in this one."""

import asyncio
import itertools
from typing import Any

from fovea.errors import Unavailable
from server.config import ServeSettings
from server.fronts.arena import size_of_arena
from server.fronts.call_server import DoorPorts
from server.fronts.front import Front
from server.fronts.images import FrontImages
from server.fronts.page import Page
from server.fronts.process import SetUp
from server.fronts.server import Second
from server.fronts.told import FIGURES
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel
from server.models.watchers import Watchers
from server.net.health import Health
from server.net.ports import HeldPort
from server.queue.priorities import InFlight


class Fronts:
    """The door of a server whose calls others answer; see `Door`."""

    def __init__(
        self,
        settings: ServeSettings,
        models: Catalogue[ServedModel],
        watchers: Watchers,
        health: Health,
        page: Page,
    ) -> None:
        self._settings = settings
        self.models = models
        models.on_swap, models.on_removal = self._swapped, self._removed
        models.on_addition, models.on_second = self._added, self._second_changed
        self.generations: dict[str, int] = {}
        self.seconds: dict[str, Second] = {}
        self._counted = itertools.count(1)
        self._watchers = watchers
        self.health = health
        self._page = page
        self._fronts: list[Front] = []
        self._arenas = itertools.count(1)
        self._held: list[HeldPort] = []
        self._is_to_publish = False
        self._opening: asyncio.Future[list[None]] | None = None

    @property
    def in_flight(self) -> InFlight:
        return self._page.in_flight()

    @property
    def is_open(self) -> bool:
        return any(front.is_open for front in self._fronts)

    async def open(self) -> DoorPorts:
        ports = self._hold_ports()
        # No defaults: whoever reads them would take them for given, and refuse some.
        settings = self._settings.model_dump(mode="json", exclude_unset=True)
        count = self._page.fronts
        self._fronts = [Front(SetUp(settings, ports, number, count), self) for number in range(count)]
        self._opening = asyncio.gather(*(front.open() for front in self._fronts))
        return ports

    def _hold_ports(self) -> DoorPorts:
        settings = self._settings
        wanted = {"--port": settings.port} | ({"--http-port": settings.http_port} if settings.http else {})
        for option, port in wanted.items():
            self._held.append(HeldPort(option, settings.host, port))
        return DoorPorts(self._held[0].number, self._held[1].number if settings.http else None)

    async def has_opened(self) -> None:
        """They start while the model loads."""
        if self._opening is not None:
            await self._opening

    def follow_health(self) -> None:
        for front in self._fronts:
            front.tell_health()

    async def has_heard(self) -> None:
        await asyncio.gather(*(front.has_heard() for front in self._fronts))

    async def drain(self, grace_s: float) -> bool:
        return all(await asyncio.gather(*(front.drain(grace_s) for front in self._fronts)))

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await asyncio.gather(*(front.end() for front in self._fronts), return_exceptions=True)
        for held in self._held:
            held.close()

    def open_images(self, models: dict[int, ServedModel]) -> FrontImages:
        """For a front that starts; `models` are those that it may use. Raises Unavailable."""
        size = size_of_arena(self._settings.queue_capacity, self._settings.max_inflight_bytes)
        try:
            return FrontImages(next(self._arenas), size, models)
        except OSError as error:
            raise Unavailable(
                f"--fronts: memory for the images in flight cannot be had: {error.strerror}; choose a "
                "smaller --queue-capacity or --max-inflight-bytes, or --fronts 1"
            ) from error

    def page_descriptor(self) -> int:
        return self._page.descriptor

    def opened(self) -> None:
        self.models.may_be_ready()

    def ended(self, front: int) -> None:
        self._page.end(front)
        self.models.may_be_ready()

    def publish(self) -> None:
        """When a full queue will have moved on, once a turn of the loop: fronts refuse, and say it."""
        if not self._is_to_publish:
            self._is_to_publish = True
            asyncio.get_running_loop().call_soon(self._publish)

    def _publish(self) -> None:
        self._is_to_publish = False
        if models := self.models.live:
            self._page.retry_after_s = max(model.retry_after_s() for model in models)

    async def asked(self, what: str, model: ServedModel | None, name: str) -> Any:
        """See `remote`."""
        if what == "refused":
            return await self._watchers.refused_now(name)
        if what == "figures" and model is not None:
            return FIGURES.dump_python(await model.figures(), mode="json")
        await self._watchers.look_on_demand(name)
        await self.has_heard()
        return None

    @property
    def generation(self) -> int:
        """See `Server`."""
        return max(self.generations.values(), default=0)

    def _swapped(self, name: str) -> None:
        self.generations[name] = next(self._counted)
        self._publish()
        for front in self._fronts:
            front.tell_model(name)

    def _second_changed(self, name: str) -> None:
        if name not in self.models.folders:  # it was removed, with all that it had
            return
        before, loaded = self.seconds.pop(name, None), self.models.folder(name)
        if (model := loaded.second) is not None:
            is_same = before is not None and before.model is model
            generation = before.generation if before and is_same else next(self._counted)
            self.seconds[name] = Second(generation, model, loaded.percent)
        for front in self._fronts:
            front.tell_second(name)

    def _added(self, name: str) -> None:
        for front in self._fronts:
            front.tell_addition(name)

    def _removed(self, name: str) -> None:
        self.generations.pop(name, None)
        self.seconds.pop(name, None)
        for front in self._fronts:
            front.tell_removal(name)
