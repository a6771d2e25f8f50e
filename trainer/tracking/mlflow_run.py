"""`--log-to mlflow`: a run of MLflow, wherever MLFLOW_TRACKING_URI says."""

import logging
import os
import time
from collections.abc import Mapping
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from trainer.tracking.standing import Chosen, Outcome, Standing, figures
from trainer.tracking.tracking import without_credentials

logger = logging.getLogger(__name__)

TAG: Final = "fovea.training"
"""Has the training's key: by it the run is found again."""
LAST_FIGURE: Final = "seconds"
"""Is logged last of an epoch: where it is, all of them are."""
LONGEST_PARAM: Final = 6000
"""That MLflow's own store takes, in characters."""


class MlflowRun:
    """The recipe as parameters, the epochs as metrics, the model as tags, the report as an artifact."""

    def __init__(self, uri: str) -> None:
        """Contacts nobody. Raises what MLflow does of a URI that it does not take."""
        self.place = f"--log-to mlflow ({without_credentials(uri)})"
        self._client = MlflowClient(uri)
        self._run_id: str | None = None
        """None until it is found or made, and after a call that failed, which may have been heard"""
        self._params: set[str] = set()
        self._metrics: dict[str, float] = {}
        """the last ones, but for the epochs'"""
        self._last_epoch = 0
        self._files: set[str] = set()
        """which this process has sent"""

    def tell(self, standing: Standing) -> None:
        run_id = self._run_id or self._open(standing)
        self._run_id = None
        self._tell(run_id, standing)
        self._run_id = run_id

    def _open(self, standing: Standing) -> str:
        """Finds what was told, in an earlier process or by a call whose answer was lost; else makes a run."""
        experiment = self._experiment(standing.model)
        found = self._client.search_runs([experiment], f"tags.`{TAG}` = '{standing.key}'", max_results=1)
        run = found[0] if found else self._make(experiment, standing)
        if run.info.status != "RUNNING":
            self._client.update_run(run.info.run_id, status="RUNNING")
        history = self._client.get_metric_history(run.info.run_id, LAST_FIGURE) if found else []
        self._last_epoch = max((metric.step for metric in history), default=0)
        self._params, self._metrics = set(run.data.params), dict(run.data.metrics)
        logger.info("%s: run %s of the experiment %s", self.place, run.info.run_id, experiment)
        return str(run.info.run_id)

    def _experiment(self, model: str) -> str:
        """Its id; one of that name is made where there is none."""
        if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return given
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or model
        known = self._client.get_experiment_by_name(name)
        return str(known.experiment_id if known else self._client.create_experiment(name))

    def _make(self, experiment: str, standing: Standing) -> Run:
        tags = {TAG: standing.key, "fovea.run": standing.run, "mlflow.source.name": "python -m trainer train"}
        return self._client.create_run(experiment, tags=tags, run_name=standing.run)

    def _tell(self, run_id: str, standing: Standing) -> None:
        self._tell_params(run_id, {**standing.recipe, **_params(standing.chosen)})
        for record in standing.epochs:
            if record.epoch > self._last_epoch:
                self._client.log_batch(run_id, metrics=_metrics(figures(record), record.epoch))
                self._last_epoch = record.epoch
        if standing.outcome:
            self._tell_outcome(run_id, standing.outcome)
        if standing.status != "RUNNING":
            self._client.set_terminated(run_id, standing.status)
        for file in standing.files:  # last: an artifact store may be away where the server is not
            if file.name not in self._files:
                self._client.log_artifact(run_id, str(file))
                self._files.add(file.name)

    def _tell_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Those that it lacks: they never change, and a rate may in its last digits, on other threads."""
        new = {name: params[name][:LONGEST_PARAM] for name in params if name not in self._params}
        if new:
            self._client.log_batch(run_id, params=[Param(name, value) for name, value in new.items()])
            self._params |= set(new)

    def _tell_outcome(self, run_id: str, outcome: Outcome) -> None:
        new = {name: value for name, value in outcome.metrics.items() if self._metrics.get(name) != value}
        tags = [RunTag(name, value) for name, value in _tags(outcome).items()]
        self._client.log_batch(run_id, metrics=_metrics(new, self._last_epoch), tags=tags)
        self._metrics |= new


def _params(chosen: Chosen | None) -> dict[str, str]:
    if chosen is None:
        return {}
    return {
        "learning_rate": f"{chosen.lr:.6g}",
        "learning_rate_why": chosen.why,
        "learning_rate_confidence": chosen.confidence,
    }


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    now_ms = int(1000 * time.time())
    return [Metric(name, value, now_ms, step) for name, value in values.items()]


def _tags(outcome: Outcome) -> dict[str, str]:
    """One that does not hold, such as of an earlier try that was not published, is emptied."""
    return {
        "fovea.model": outcome.uri,
        "fovea.version": outcome.version or "",
        "fovea.digest": outcome.digest or "",
        "fovea.not_published": outcome.refusal or "",
    }
