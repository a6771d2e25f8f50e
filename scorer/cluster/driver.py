"""A whole run on a cluster: its plan, one Indexed Job that scores what is missing, and the commit.

All that it knows is in the output and in the Job, so a driver that takes the place of another goes on.
"""

import logging
from pathlib import Path

from fovea import tracing
from fovea.errors import SettingsInvalid, Terminated
from fovea.stores.folder import Folder
from scorer.cluster.api import Api, connect
from scorer.cluster.job import Body, job_body, read_template, scores
from scorer.cluster.job_end import end_of, failure
from scorer.cluster.jobs import Jobs, waits
from scorer.cluster.pods import Pods
from scorer.committing.commit import is_finished
from scorer.committing.verification import check_server
from scorer.config import DriveSettings
from scorer.files.committed import missing_shards
from scorer.files.folders import open_output
from scorer.files.plan import Plan
from scorer.planning.planner import absolute, plan_run
from scorer.run import PLAN, commit_run
from scorer.scoring.pipeline import Resources
from scorer.scoring.work import score_shards

logger = logging.getLogger(__name__)


def drive(settings: DriveSettings) -> None:
    """Scores what the run still lacks by pods of a Job, commits it and prints what it came to."""
    template = _template(settings)
    check_server(settings)
    output = open_output(settings.output)
    with tracing.span(PLAN):
        plan = plan_run(settings, output)
    missing = [] if is_finished(output, settings.run_id) else missing_shards(output, plan)
    if any(plan.shards[index].to_score for index in missing):
        completions = min(settings.workers, len(plan.shards))
        with tracing.span("job", workers=completions):
            where = absolute(settings.output), settings.run_id
            body = job_body(template, *where, completions, tracing.carried())
            _run_job(connect(settings.namespace), body, output, plan)
    else:  # rows to copy, if any: no worker is needed, and no GPU
        score_shards(output, plan, missing, _for_copying(settings))
    commit_run(settings)


def _for_copying(settings: DriveSettings) -> Resources:
    return Resources(
        batch_size=None,
        provider=settings.provider,
        threads=settings.threads,
        decode_threads=1,
        fetch_concurrency=1,
        max_inflight_bytes=settings.max_image_bytes,
        model_cache=settings.model_cache,
    )


def _template(settings: DriveSettings) -> Body:
    kind, _, name = settings.job_template.partition("/")
    if kind == "cronjob" and name:
        return Jobs(connect(settings.namespace)).template_of(name)
    return read_template(Path(settings.job_template))


def _run_job(api: Api, body: Body, output: Folder, plan: Plan) -> None:
    """Creates the Job, or finds it, and stays until it has ended. Raises if shards are missing then."""
    jobs, name = Jobs(api), body["metadata"]["name"]
    where = {"job": f"{jobs.namespace}/{name}", "workers": body["spec"]["completions"]}
    logger.info("created the Job" if jobs.create(body) else "the Job is there already", extra=where)
    pods = Pods(api, name)
    try:
        ended = _follow(jobs, pods, body)
    except (Terminated, KeyboardInterrupt):
        logger.warning("the Job goes on; a driver with the same --run-id goes on with it", extra=where)
        raise
    if missing := missing_shards(output, plan):
        raise failure(f"{jobs.namespace}/{name}", ended, pods.exit_codes(), missing, plan)


def _follow(jobs: Jobs, pods: Pods, body: Body) -> Body:
    """Logs how the Job gets on and what its pods wait for, and returns it as it ended."""
    last: object = None
    reported: dict[str, int] = {}
    for job in jobs.follow(body["metadata"]["name"]):
        _check_same_run(jobs.namespace, job, body)
        if (now := _progress(job)) != last:
            logger.info("scoring", extra=now)
            last = now
        if end_of(job):
            return job
        reasons = pods.waiting_for() if waits(job) else {}
        for reason in reasons.keys() - reported.keys():
            logger.warning("pods wait", extra={"pods": reasons[reason], "for": reason})
        reported = reasons
    raise AssertionError("a Job is followed to its end")


def _check_same_run(namespace: str, job: Body, wanted: Body) -> None:
    if scores(job) != scores(wanted):
        output, run = scores(job)
        raise SettingsInvalid(
            f"Job {namespace}/{wanted['metadata']['name']} is there already, for run {run} into {output}; "
            "take another --run-id"
        )


def _progress(job: Body) -> dict[str, object]:
    """Pods at work or about to be, ready, done and failed; and the indexes that are given up."""
    status = job.get("status") or {}
    done = {name: status.get(name, 0) for name in ("active", "ready", "succeeded", "failed")}
    failed = status.get("failedIndexes")
    return {**done, "failed_indexes": failed} if failed else done
