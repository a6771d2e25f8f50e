"""A whole run on a cluster: its plan, one Indexed Job that scores what is missing, and the commit.

All that it knows is in the output and in the Job, so a driver that takes the place of another goes on.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid, FoveaError, SettingsInvalid, Terminated, Unavailable
from fovea.folder import Folder
from fovea.storage import open_answering
from scorer.cluster import Jobs, connect
from scorer.commit import is_finished
from scorer.committed import missing_shards
from scorer.config import DriveSettings
from scorer.job import Body, job_body, read_template, scores
from scorer.plan import Plan
from scorer.planner import absolute, plan_run
from scorer.run import commit_run

logger = logging.getLogger(__name__)

_ENDS: Final = ("Complete", "Failed")
_MAY_PASS: Final = ("DeadlineExceeded", "BackoffLimitExceeded")
"""Reasons of a failed Job that say nothing of the data."""


def drive(settings: DriveSettings) -> None:
    """Scores what the run still lacks by pods of a Job, commits it and prints what it came to."""
    template = _template(settings)
    output = open_answering(settings.output)
    plan = plan_run(settings, output)
    if not is_finished(output, settings.run_id) and missing_shards(output, plan):
        completions = min(settings.workers, len(plan.shards))
        body = job_body(template, absolute(settings.output), settings.run_id, completions)
        _run_job(connect(settings.namespace), body, output, plan)
    commit_run(settings)


def _template(settings: DriveSettings) -> Body:
    kind, _, name = settings.job_template.partition("/")
    if kind == "cronjob" and name:
        return connect(settings.namespace).template_of(name)
    return read_template(Path(settings.job_template))


def _run_job(jobs: Jobs, body: Body, output: Folder, plan: Plan) -> None:
    """Creates the Job, or finds it, and stays until it has ended. Raises if shards are missing then."""
    name = body["metadata"]["name"]
    where = {"job": f"{jobs.namespace}/{name}", "workers": body["spec"]["completions"]}
    logger.info("created the Job" if jobs.create(body) else "the Job is there already", extra=where)
    try:
        ended = _follow(jobs, body)
    except (Terminated, KeyboardInterrupt):
        logger.warning("the Job goes on; a driver with the same --run-id goes on with it", extra=where)
        raise
    if missing := missing_shards(output, plan):
        raise _failure(f"{jobs.namespace}/{name}", ended, missing, plan)


def _follow(jobs: Jobs, body: Body) -> Body:
    """Logs how the Job gets on, and returns its last condition."""
    last = None
    for job in jobs.follow(body["metadata"]["name"]):
        _check_same_run(jobs.namespace, job, body)
        if (now := _progress(job)) != last:
            logger.info("scoring", extra=now)
            last = now
        if ended := _end(job):
            return ended
    raise AssertionError("a Job is followed to its end")


def _check_same_run(namespace: str, job: Body, wanted: Body) -> None:
    if scores(job) != scores(wanted):
        output, run = scores(job)
        raise SettingsInvalid(
            f"Job {namespace}/{wanted['metadata']['name']} is there already, for run {run} into {output}; "
            "take another --run-id"
        )


def _progress(job: Body) -> dict[str, object]:
    status = job.get("status") or {}
    done = {name: status.get(name, 0) for name in ("active", "ready", "succeeded")}
    failed = status.get("failedIndexes")
    return {**done, "failed_indexes": failed} if failed else done


def _end(job: Body) -> Body | None:
    """The condition that says how the Job ended, None while it has not."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["type"] in _ENDS and condition["status"] == "True":
            failed = (job.get("status") or {}).get("failedIndexes")
            return {**condition, "failedIndexes": failed}
    return None


def _failure(job: str, end: Body, missing: Sequence[int], plan: Plan) -> FoveaError:
    namespace, name = job.split("/")
    verb = "failed" if end["type"] == "Failed" else "is complete"
    indexes = f", its indexes {end['failedIndexes']}" if end["failedIndexes"] else ""
    why = f" ({end.get('reason')}: {end.get('message')})" if end["type"] == "Failed" else ""
    kind = Unavailable if end.get("reason") in _MAY_PASS else DataInvalid
    return kind(
        f"Job {job} {verb}{indexes}{why}: {len(missing)} of {len(plan.shards)} shards are missing; "
        f"for another try at these, kubectl -n {namespace} delete job {name}, then run again with "
        f"--run-id {plan.spec.run}"
    )
