"""The Python client of a Fovea server, and a command to try it with.

    with Client("dns:///fovea:8001") as client:
        print(client.classify("cat.jpg").label)

`python -m fovea.client IMAGE... --target HOST:PORT` prints a table, or JSON lines with `--json`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fovea.client.aio import AsyncClient
    from fovea.client.answers import CallFailed, Classification, LabelSet, ModelVersion, Prediction, Timing
    from fovea.client.channel import DEFAULT_TIMEOUT_S
    from fovea.client.request import ImageLike, Priority, Want, encoded
    from fovea.client.sync import Client
    from fovea.errors import DataInvalid, FoveaError

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "AsyncClient",
    "CallFailed",
    "Classification",
    "Client",
    "DataInvalid",
    "FoveaError",
    "ImageLike",
    "LabelSet",
    "ModelVersion",
    "Prediction",
    "Priority",
    "Timing",
    "Want",
    "encoded",
]

_MODULES: Final = {
    "client.aio": ("AsyncClient",),
    "client.answers": ("CallFailed", "Classification", "LabelSet", "ModelVersion", "Prediction", "Timing"),
    "client.channel": ("DEFAULT_TIMEOUT_S",),
    "client.request": ("ImageLike", "Priority", "Want", "encoded"),
    "client.sync": ("Client",),
    "errors": ("DataInvalid", "FoveaError"),
}
"""Where each is, loaded with its first use: the command hears signals before gRPC is there."""


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"fovea.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
