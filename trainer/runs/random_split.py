"""random_split.json: what the same recipe reached where the split took no heed of groups."""

from pydantic import BaseModel

from trainer.runs.run_folder import RANDOM_SPLIT_FILE, RunFolder


class RandomSplitRecord(BaseModel, frozen=True):
    """Of images of the part that the run's own figures are told of."""

    right: int
    images: int
    trained_on: int
    """images"""

    @property
    def accuracy(self) -> float:
        return self.right / self.images


def read_random_split(run: RunFolder) -> RandomSplitRecord | None:
    """None where the run made no such comparison. Raises DataInvalid when the record is damaged."""
    return run.read_record(RANDOM_SPLIT_FILE, RandomSplitRecord) if run.holds(RANDOM_SPLIT_FILE) else None
