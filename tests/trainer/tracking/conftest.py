"""mlflow and tensorboard are imported where they are needed: each process of pytest reads all these files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trainer.tracking.trackers import HABITS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class Store:
    """MLflow's own, in a folder."""

    client: "MlflowClient"

    def runs(self) -> "list[Run]":
        experiments = [one.experiment_id for one in self.client.search_experiments()]
        return list(self.client.search_runs(experiments))

    def run(self) -> "Run":
        """The only one."""
        (run,) = self.runs()
        return run

    def history(self, metric: str) -> list[tuple[int, float]]:
        """Of the only run: steps and values."""
        points = self.client.get_metric_history(self.run().info.run_id, metric)
        return [(point.step, point.value) for point in points]

    def artifacts(self) -> dict[str, int]:
        """Of the only run: names and bytes."""
        return {file.path: file.file_size for file in self.client.list_artifacts(self.run().info.run_id)}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Which MLFLOW_TRACKING_URI names."""
    uri = f"file://{tmp_path}/mlruns"
    for name, value in {**HABITS, "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_TRACKING_URI": uri}.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)

    from mlflow import MlflowClient

    return Store(MlflowClient(uri))
