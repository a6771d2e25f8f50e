"""The versions that a front may use: none is closed before the front has said that it uses it no more."""

from contextlib import ExitStack

from server.fronts.server import Second
from server.fronts.told import LiveModel, ToldSecond
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel


class Lent:
    """To one process of a front. Belongs to the event loop that serves."""

    def __init__(self, of: Catalogue[ServedModel]) -> None:
        self._of = of
        self._uses: dict[int, ExitStack] = {}
        self.models: dict[int, ServedModel] = {}
        """By generation."""

    def lend(self, name: str, generation: int, version: int = 0) -> LiveModel:
        """The current version, or another one that is loaded; a generation that is lent already stays so."""
        if generation not in self.models:
            self._uses[generation] = use = ExitStack()
            self.models[generation] = use.enter_context(self._of.use(version, name))
        return LiveModel.of(name, generation, self.models[generation])

    def lend_second(self, name: str, second: Second | None) -> ToldSecond:
        if second is None:
            return ToldSecond(name=name)
        live = self.lend(name, second.generation, second.model.contract.version)
        return ToldSecond(name=name, live=live, percent=second.percent)

    def give_back(self, generation: int) -> None:
        self.models.pop(generation, None)
        if use := self._uses.pop(generation, None):
            use.close()

    def give_all_back(self) -> None:
        for generation in list(self._uses):
            self.give_back(generation)
