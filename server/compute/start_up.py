"""What the server and a compute process tell each other before the first batch, in JSON."""

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from fovea.errors import BundleInvalid, FoveaError, Unavailable
from fovea.logs import LogFormat, LogLevel
from fovea.model.bundle import Precision
from server.compute.warm_up import WarmUp

if TYPE_CHECKING:  # which would take a compute process as long as Pillow to load
    from server.choices import ServedPrecision


@dataclass(frozen=True)
class ProcessSettings:
    """What a compute process is told."""

    bundle: str
    """The bundle's folder."""
    digest: str
    """Of its model.onnx: another bundle may be there when the process is started again."""
    precision: "ServedPrecision"
    model_cache: str
    """Where a choice of precision is remembered; the default cache if empty."""
    wide_threads: int
    """Cores of a lone image; 1 where another process does that."""
    max_batch_size: int
    target_batch_s: float
    max_bytes: int
    max_pixels: int
    log_level: LogLevel
    log_format: LogFormat
    shared_weights: str = ""
    """Where the first process puts the model's weights, that all map; each has its own if empty."""
    descriptors: str = ""
    """Where images lie that do not come in the frames, see `arenas`."""
    run_images: int = 0
    """How many images the model runs on at a time, as the first process found; it is 0 for that one, which
    measures for all."""
    slot: int = 0
    """The model's number in a process that has several."""
    is_spare: bool = False
    """It is to compute only where nothing else would."""

    @classmethod
    def from_json(cls, content: bytes) -> "ProcessSettings":
        return cls(**json.loads(content))

    def measured(self, ready: "ProcessReady") -> "ProcessSettings":
        """For a process that takes this one's word, instead of finding out for itself."""
        return replace(self, precision=ready.precision, run_images=ready.run_images)


@dataclass(frozen=True)
class ProcessReady:
    """What a compute process says when its model is warm."""

    precision: Precision
    warm_up: WarmUp
    """Of the first process; another one measures nothing."""
    run_images: int
    """How many images its model runs on at a time."""
    reads_arenas: bool = False
    """It can read images where they lie."""
    memory_bytes: int = 0
    """By so much setting the model up made the process larger, beside what all map."""

    @classmethod
    def from_json(cls, content: bytes) -> "ProcessReady":
        fields = json.loads(content)
        batches = tuple((images, seconds) for images, seconds in fields["warm_up"]["batches"])
        return cls(**{**fields, "warm_up": WarmUp(fields["warm_up"]["least_s"], batches)})


@dataclass(frozen=True)
class ProcessRefusal:
    """What a compute process says when it cannot serve the model."""

    is_models_fault: bool
    reason: str

    @classmethod
    def of(cls, error: Exception) -> "ProcessRefusal":
        if isinstance(error, FoveaError):
            return cls(not isinstance(error, Unavailable), str(error))
        if isinstance(error, MemoryError):  # the same version may load when there is room
            return cls(False, "there is not enough memory for the model")
        return cls(True, f"{type(error).__name__}: {error}")

    @classmethod
    def from_json(cls, content: bytes) -> "ProcessRefusal":
        return cls(**json.loads(content))

    def error(self) -> FoveaError:
        """As the server raises it."""
        return (BundleInvalid if self.is_models_fault else Unavailable)(self.reason)


def to_json(record: ProcessSettings | ProcessReady | ProcessRefusal) -> bytes:
    return json.dumps(asdict(record)).encode()
