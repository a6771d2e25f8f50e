"""The settings of each command of `python -m scorer`."""

import os
from typing import Self

from pydantic import Field, model_validator

from scorer.options import CommitOptions, PlanOptions, WorkOptions


def _index_in_job() -> int:
    # Text, which is then checked as if it had been given.
    return os.environ.get("JOB_COMPLETION_INDEX", 0)  # type: ignore[return-value]


class RunSettings(PlanOptions, WorkOptions, CommitOptions):
    """Plans the images below SOURCE, scores every shard of them and commits the run, on this machine."""

    dry_run: bool = Field(
        False,
        description="write nothing to the output: say what there is to score and, by trying a sample of it, "
        "how long that takes on this machine",
    )
    price_per_hour: float | None = Field(
        None, ge=0, description="what an hour of this machine costs: the dry run says what the run would"
    )

    @model_validator(mode="after")
    def _price_is_for_the_dry_run(self) -> Self:
        if self.price_per_hour is not None and not self.dry_run:
            raise ValueError("--price-per-hour is for --dry-run, which is not given")
        return self


class PlanSettings(PlanOptions):
    """Lists the images below SOURCE and writes which shard has which, for `work` to score."""


class WorkSettings(WorkOptions):
    """Scores the shards of a planned run that are this worker's share and are not there yet."""

    run_id: str = Field(description="the run's name, as it was planned")
    index: int = Field(
        default_factory=_index_in_job,
        validate_default=True,
        ge=0,
        description="which of the workers this is, from 0; by default the pod's in its Indexed Job "
        "(JOB_COMPLETION_INDEX)",
    )
    completions: int = Field(1, ge=1, description="how many workers there are")

    @model_validator(mode="after")
    def _index_is_one_of_the_workers(self) -> Self:
        if self.index >= self.completions:
            raise ValueError(
                f"--index {self.index}: of --completions {self.completions} workers the last is "
                f"{self.completions - 1}"
            )
        return self


class CommitSettings(CommitOptions):
    """Adds up a run whose shards are all there, and makes latest.json name it."""

    run_id: str = Field(description="the run's name, as it was planned")


class DriveSettings(PlanOptions, CommitOptions):
    """Plans the images below SOURCE, has them scored by an Indexed Job on Kubernetes and commits the run."""

    job_template: str = Field(
        min_length=1,
        description="a YAML file of a Job, or cronjob/NAME for what that CronJob of the namespace would "
        "create; its first container is to run `work`",
    )
    workers: int = Field(4, ge=1, le=1000, description="pods of the Job, at most one for each shard")
    namespace: str | None = Field(
        None, min_length=1, description="where the Job is, unless in the pod's own namespace"
    )
