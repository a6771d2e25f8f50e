"""The versions that a front may use: none is closed before the front has said that it uses it no more."""

from contextlib import ExitStack

from server.fronts.told import LiveModel
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
        """The current version, or another one that is loaded."""
        self._uses[generation] = use = ExitStack()
        self.models[generation] = model = use.enter_context(self._of.use(version, name))
        return LiveModel.of(name, generation, model)

    def give_back(self, generation: int) -> None:
        self.models.pop(generation, None)
        if use := self._uses.pop(generation, None):
            use.close()

    def give_all_back(self) -> None:
        for generation in list(self._uses):
            self.give_back(generation)
