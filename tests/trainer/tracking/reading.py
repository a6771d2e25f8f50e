"""What TensorBoard reads of a folder of event files."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder: Path) -> "EventAccumulator":
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """By tag and step; of a step that is there twice the test fails."""
    events, found = read(folder), {}
    for tag in events.Tags()["scalars"]:
        points = [(event.step, event.value) for event in events.Scalars(tag)]
        assert [step for step, _ in points] == list(range(1, len(points) + 1)), tag
        found[tag] = dict(points)
    return found


def texts(folder: Path, tag: str) -> list[str]:
    events = read(folder).Tensors(f"{tag}/text_summary")
    assert [event.step for event in events] == list(range(len(events)))
    return [event.tensor_proto.string_val[0].decode() for event in events]
