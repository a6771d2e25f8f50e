"""The settings of each command of `python -m scorer`."""

from pydantic import Field

from scorer.options import CommitOptions, PlanOptions, WorkOptions


class RunSettings(PlanOptions, WorkOptions, CommitOptions):
    """Plans the images below SOURCE, scores every shard of them and commits the run, on this machine."""


class PlanSettings(PlanOptions):
    """Lists the images below SOURCE and writes which shard has which, for `work` to score."""


class WorkSettings(WorkOptions):
    """Scores the shards of a planned run that are this worker's share and are not there yet."""

    run_id: str = Field(description="the run's name, as it was planned")
    index: int = Field(0, ge=0, description="which of the workers this is, from 0")
    completions: int = Field(1, ge=1, description="how many workers there are")


class CommitSettings(CommitOptions):
    """Adds up a run whose shards are all there, and makes latest.json name it."""

    run_id: str = Field(description="the run's name, as it was planned")
