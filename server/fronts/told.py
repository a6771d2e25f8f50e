"""What the server and its fronts tell each other beside images, as JSON has it."""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, TypeAdapter

from fovea.errors import BundleInvalid, DataInvalid, ImageInvalid, Unavailable
from fovea.model.bundle import BundleContract, Precision
from server.errors import (
    ComputeFailed,
    DeadlinePassed,
    Draining,
    FolderUnreachable,
    ModelUnknown,
    NoModelReady,
    VersionRefused,
)
from server.models.model import Model, ModelFigures

_KNOWN: Final[dict[str, type[Exception]]] = {
    kind.__name__: kind
    for kind in (
        *(
            DeadlinePassed,
            Draining,
            FolderUnreachable,
            ModelUnknown,
            NoModelReady,
            VersionRefused,
            ComputeFailed,
        ),
        *(Unavailable, DataInvalid, BundleInvalid),
    )
}
"""Errors that are more than a bug to the other side, and are made of their text alone."""


def error_to_json(error: BaseException) -> dict[str, str]:
    if isinstance(error, ImageInvalid):
        return {"kind": "ImageInvalid", "text": str(error), "reason": error.reason}
    kind = type(error).__name__
    if kind in _KNOWN:
        return {"kind": kind, "text": str(error)}
    return {"kind": "ComputeFailed", "text": f"{kind}: {error}"}


def error_from_json(told: Mapping[str, str]) -> Exception:
    if told["kind"] == "ImageInvalid":
        return ImageInvalid(told["reason"], told["text"])
    return _KNOWN[told["kind"]](told["text"])


class LiveModel(BaseModel, frozen=True):
    """A version that is live, as a front knows it."""

    name: str
    """The model's, in this server."""
    generation: int
    """Counts the versions that went live in this server."""
    contract: BundleContract
    digest: str
    provider: str
    precision: Precision

    @classmethod
    def of(cls, name: str, generation: int, model: Model) -> "LiveModel":
        return cls(
            name=name,
            generation=generation,
            contract=model.contract,
            digest=model.identity.digest,
            provider=model.provider,
            precision=model.precision,
        )


class ToldSecond(BaseModel, frozen=True):
    """What is beside the current version of a model."""

    name: str
    live: LiveModel | None = None
    """None: nothing."""
    percent: float | None = None
    """Of the calls that name no version, as `Split` has them; None: it is for who names it alone."""


FIGURES: Final = TypeAdapter(ModelFigures)
"""Tells figures, and reads them."""
