"""What the server and its fronts tell each other beside images, as JSON has it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from fovea.errors import BundleInvalid, DataInvalid, ImageInvalid, Unavailable
from fovea.model.bundle import BundleContract, Precision
from server.errors import (
    ComputeFailed,
    DeadlinePassed,
    Draining,
    FolderUnreachable,
    NoModelReady,
    VersionRefused,
)
from server.models.model import CallTallies, Model, ModelFigures, Tally

_KNOWN: Final[dict[str, type[Exception]]] = {
    kind.__name__: kind
    for kind in (
        *(DeadlinePassed, Draining, FolderUnreachable, NoModelReady, VersionRefused, ComputeFailed),
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


@dataclass(frozen=True)
class LiveModel:
    """A version that is live, as a front knows it."""

    generation: int
    """Counts the versions that went live in this server."""
    contract: BundleContract
    digest: str
    provider: str
    precision: Precision

    @classmethod
    def of(cls, generation: int, model: Model) -> "LiveModel":
        return cls(generation, model.contract, model.identity.digest, model.provider, model.precision)

    def to_json(self) -> dict[str, Any]:
        return {
            "generation": self.generation,
            "contract": self.contract.model_dump_json(),
            "digest": self.digest,
            "provider": self.provider,
            "precision": self.precision,
        }

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "LiveModel":
        return cls(**{**told, "contract": BundleContract.model_validate_json(told["contract"])})


def figures_to_json(figures: ModelFigures) -> dict[str, Any]:
    return {
        "images": figures.images,
        "batches": {str(size): asdict(tally) for size, tally in figures.batches.items()},
        "calls": {name: asdict(tallies) for name, tallies in figures.calls.items()},
    }


def figures_from_json(told: dict[str, Any]) -> ModelFigures:
    batches = {int(size): Tally(**tally) for size, tally in told["batches"].items()}
    return ModelFigures(told["images"], batches, {name: _tallies(of) for name, of in told["calls"].items()})


def _tallies(told: dict[str, Any]) -> CallTallies:
    last_ms = told.pop("last_ms")
    return CallTallies(**{name: Tally(**tally) for name, tally in told.items()}, last_ms=last_ms)
