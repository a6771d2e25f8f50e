"""What a capture's file holds of each answer, and of itself."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Captured:
    """One answer. Nothing tells who asked: no address, no token, no request id."""

    image: bytes | memoryview | None
    """The file as it came; None where captures keep answers alone."""
    sha256: str
    """Of the file, hexadecimal."""
    size_bytes: int
    label: str
    probability: float
    top_labels: tuple[str, ...]
    """The most probable first, TOP of them."""
    top_probabilities: tuple[float, ...]
    margin: float
    """The largest probability less the second."""
    abstained: bool
    distance: float | None
    """From the training's images, where it was measured."""
    unknown: bool | None
    model_name: str
    model_version: int
    model_digest: str
    """sha256 of the ONNX file that answered."""
    answered_at: datetime
    reason: str
    """One of `reasons.REASONS`; newer builds may have others."""
    run: str | None = None
    """The scorer's, of which it is an image."""
    key: str | None = None
    """The image's below that run's source."""
    shadow_label: str | None = None
    """What another version said of the image, where one answered it too."""
    shadow_probability: float | None = None
    shadow_version: int | None = None
    labels: tuple[str, ...] | None = None
    """Of a multi-label model: those that were selected, the most probable first; `label` is the most probable
    one of all then, and `margin` `margin_of_labels`."""
    shadow_labels: tuple[str, ...] | None = None
    """The same of what another version said, if that is multi-label."""


TOP = 5
"""Labels of an answer that are kept."""


@dataclass(frozen=True)
class Window:
    """What a file's rows are a sample of. Times are aware, in UTC."""

    began: datetime
    ended: datetime
    answers: int
    """In all, whether something spoke for them or not."""
    seen: dict[str, int]
    """Of these, by reason, how many it held of; the reason's rows are a uniform sample of them, unless bytes
    bounded it: large images fall off more easily then, and those above the budget always, counted all the
    same."""
    share: float
    """Of all answers, those that were drawn as uniform."""
