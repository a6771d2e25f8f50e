"""The protocol's model repository: one model's folder of versions, which alone decides what is loaded."""

from fovea.oip import open_inference_pb2 as pb
from server.errors import FieldInvalid, ModelUnknown, Unsupported
from server.models.model import Models, Versions
from server.net.health import Health
from server.oip.aliases import ONNX_SUFFIX, quoted
from server.oip.description import index_entries
from server.queue.priorities import Admission

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
        current = self._models.current.contract.version if self._models.current else None
        refused = await self._versions.refused_now()
        entries = index_entries(self._names(), current, refused, self._health.is_ready)
        shown_ones = [entry for entry in entries if entry.state == "READY" or not request.ready]
        return pb.RepositoryIndexResponse(models=shown_ones)

    async def load(self, request: pb.RepositoryModelLoadRequest) -> None:
        """Returns when the newest version serves.

        Raises VersionRefused where it is bad, FolderUnreachable, NoModelReady where there is none, Draining.
        """
        self._check_model(request)
        if request.parameters:
            raise Unsupported("a model is loaded as its bundle says: a load takes no parameters")
        async with self._admission.while_open():
            await self._versions.look_on_demand()

    def refuse_unload(self, request: pb.RepositoryModelUnloadRequest) -> Exception:
        self._check_model(request)
        return Unsupported(
            "models are not unloaded by call: the server serves the newest version in its folder, "
            "or the one that --model-version names"
        )

    def _check_model(self, request: ModelRequest) -> None:
        _check_repository(request.repository_name)
        if request.model_name not in self._names():
            known = " and ".join(map(repr, self._names()))
            raise ModelUnknown(f"there is no model {quoted(request.model_name)}; there are {known}")

    def _names(self) -> tuple[str, str]:
        """Known before a version is: the folder has the model's name."""
        current = self._models.current
        name = current.contract.name if current else self._versions.name
        return name, f"{name}{ONNX_SUFFIX}"


def _check_repository(name: str) -> None:
    if name:
        raise FieldInvalid("repository_name", "there is one repository, which has no name: leave it empty")
