"""A whole run on one machine: its plan, every shard that is missing, and the commit."""

import logging
from typing import Final

from fovea import tracing
from fovea.stores.folder import Folder
from scorer.committing.commit import finish_run, is_finished
from scorer.committing.verification import check_server
from scorer.config import PlanSettings, RunSettings
from scorer.console import plan_report, report
from scorer.estimate.dry_run import dry_run
from scorer.files.committed import missing_shards
from scorer.files.folders import open_output
from scorer.files.latest import read_latest
from scorer.files.plan import Plan
from scorer.options import CommitOptions
from scorer.planning.planner import plan_run
from scorer.scoring.work import existing_plan, resources_of, score_shards

logger = logging.getLogger(__name__)

PLAN: Final = "plan"
"""The span of planning."""


def score(settings: RunSettings) -> None:
    """Scores what the run still lacks, commits it and prints what it came to; or only what it would."""
    if settings.dry_run:
        print(dry_run(settings))
        return
    check_server(settings)
    output = open_output(settings.output)
    with tracing.span(PLAN):
        plan = plan_run(settings, output)
    if not is_finished(output, settings.run_id):
        score_shards(output, plan, missing_shards(output, plan), resources_of(settings))
    _commit(settings, output, plan)


def plan(settings: PlanSettings) -> None:
    """Plans the run, and prints what there is to do."""
    output = open_output(settings.output)
    with tracing.span(PLAN):
        plan = plan_run(settings, output)
    print(plan_report(plan, output))


def commit_run(settings: CommitOptions) -> None:
    """Commits a run that others have scored, and prints what it came to."""
    output = open_output(settings.output)
    _commit(settings, output, existing_plan(output, settings.run_id))


def _commit(settings: CommitOptions, output: Folder, plan: Plan) -> None:
    with tracing.span("commit"):
        summary = finish_run(output, plan, settings)
    if summary is None:
        latest = read_latest(output)
        others = f", and latest.json names {latest.run}" if latest and latest.run != plan.spec.run else ""
        print(f"run {plan.spec.run} is finished already{others}: nothing to do")
        if settings.verify:
            logger.warning("--verify is not done: it is for a run before latest.json names it")
    else:
        print(report(summary, output.uri))
