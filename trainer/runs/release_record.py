"""released.json: what a run published, and where."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fovea.errors import DataInvalid
from fovea.model.measured import LabelMetrics, Metrics, Opinion
from trainer.runs.lineage import Noted
from trainer.runs.run_folder import RELEASED_FILE, RunFolder


class ReleaseRecord(BaseModel):
    """A run has one only of a model that is published."""

    model_config = ConfigDict(frozen=True)

    uri: str
    """of the version's folder"""
    metrics: Metrics
    verdict: Opinion | None = None
    """None of a run that was released before there were any"""
    digest: Noted[str] = None
    """sha256 of the ONNX file"""
    temperature: Noted[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = None
    """what the model divides its logits by"""
    label_metrics: LabelMetrics | None = Field(None, exclude_if=lambda value: value is None)
    """of several labels an image"""

    @classmethod
    def read(cls, run: RunFolder) -> "ReleaseRecord | None":
        """None where the run published nothing. Raises DataInvalid when the record is damaged."""
        if not run.holds(RELEASED_FILE):
            return None
        try:
            return cls.model_validate(run.read_json(RELEASED_FILE))
        except ValidationError as error:
            raise DataInvalid(f"{run.path / RELEASED_FILE}: not the record of a release") from error

    def write(self, run: RunFolder) -> None:
        run.write_json(RELEASED_FILE, self.model_dump(mode="json"))
