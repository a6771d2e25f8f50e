"""The protocol's model repository: the models' folders of versions, which alone decide what is loaded."""

from typing import Final

from fovea.oip import open_inference_pb2 as pb
from server.errors import FieldInvalid, ModelUnknown, Unsupported
from server.models.model import Models, Versions
from server.net.health import Health
from server.oip.aliases import ONNX_SUFFIX, quoted
from server.oip.description import index_entries
from server.queue.priorities import Admission

SHOWN: Final = 16
"""Names that an error lists, at most."""

ModelRequest = pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest


class Repository:
    """Lives in the event loop that serves."""

    def __init__(self, models: Models, versions: Versions, admission: Admission, health: Health) -> None:
        self._models = models
        self._versions = versions
        self._admission = admission
        self._health = health

    async def index(self, request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        """Raises FieldInvalid."""
        _check_repository(request.repository_name)
        shown: list[pb.RepositoryIndexResponse.ModelIndex] = []
        for name in self._models.names:
            refused = await self._versions.refused_now(name)
            is_ready = name in self._health.able
            shown += index_entries(_aliases(name), self._models.versions(name), refused, is_ready)
        shown = [entry for entry in shown if entry.state == "READY" or not request.ready]
        return pb.RepositoryIndexResponse(models=shown)

    async def load(self, request: pb.RepositoryModelLoadRequest) -> None:
        """Returns when the newest version serves.

        Raises VersionRefused where it is bad, FolderUnreachable, NoModelReady where there is none, Draining.
        """
        name = self._model_of(request)
        if request.parameters:
            raise Unsupported("a model is loaded as its bundle says: a load takes no parameters")
        async with self._admission.while_open():
            await self._versions.look_on_demand(name)

    def refuse_unload(self, request: pb.RepositoryModelUnloadRequest) -> Exception:
        self._model_of(request)
        return Unsupported(
            "models are not unloaded by call: the server serves the newest version in its folder, "
            "or the one that --model-version names"
        )

    def _model_of(self, request: ModelRequest) -> str:
        """By one of its names, which are known before a version is."""
        _check_repository(request.repository_name)
        aliases = {alias: name for name in self._models.names for alias in reversed(_aliases(name))}
        if (asked := request.model_name) in self._models.names:
            return asked
        if asked not in aliases:
            known = " and ".join(map(repr, sorted(aliases)[:SHOWN]))
            raise ModelUnknown(f"there is no model {quoted(asked)}; there are {known}")
        return aliases[asked]


def _aliases(name: str) -> tuple[str, str]:
    return name, f"{name}{ONNX_SUFFIX}"


def _check_repository(name: str) -> None:
    if name:
        raise FieldInvalid("repository_name", "there is one repository, which has no name: leave it empty")
