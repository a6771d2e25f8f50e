"""What a call took, for its response and for the statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

from fovea.oip import open_inference_pb2 as pb
from server.models.served_model import Classified
from server.telemetry.statistics import CallTallies


@dataclass(frozen=True)
class Timing:
    """Of all images of a call."""

    decode_s: float
    """Decoding them, one after the other."""
    queue_s: float
    """The longest that one of them waited for its batch to start."""
    compute_s: float
    """The longest of the batches that they were in."""
    batch_size: int
    """Of the largest of these."""

    @classmethod
    def of(cls, images: Sequence[Classified]) -> "Timing":
        return cls(
            sum(image.decode_s for image in images),
            max(image.queue_s for image in images),
            max(image.compute_s for image in images),
            max(image.batch_size for image in images),
        )

    def write_to(self, answer: pb.ModelInferResponse) -> None:
        for name in ("decode", "queue", "compute"):
            answer.parameters[f"{name}_us"].int64_param = round(getattr(self, f"{name}_s") * 1e6)
        answer.parameters["batch_size"].int64_param = self.batch_size

    def add_to(self, tallies: CallTallies) -> None:
        tallies.decode.add(self.decode_s)
        tallies.queue.add(self.queue_s)
        tallies.compute.add(self.compute_s)
