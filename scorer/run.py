"""A whole run on one machine: its plan, every shard that is missing, and the commit."""

import logging
import time

from fovea import versions
from fovea.bundle import ModelBundle
from fovea.folder import Folder
from fovea.settings import as_saved
from fovea.storage import LocalFolder, open_folder
from scorer.commit import commit, is_finished, missing_shards, move_latest
from scorer.config import RunSettings
from scorer.console import has_terminal, progress_bar, report
from scorer.pipeline import Resources
from scorer.plan import Plan, RunSpec, check_same_run, make_plan, read_plan
from scorer.shard import ShardSpec, load_classifier, score_shard

logger = logging.getLogger(__name__)


def score(settings: RunSettings) -> None:
    """Scores what the run still lacks, commits it and prints what it came to."""
    output = open_folder(settings.output)
    plan = plan_run(settings, output)
    if is_finished(output, settings.run_id):
        move_latest(output, plan)
        print(f"run {settings.run_id} is finished already: nothing to do")
        return
    _score_shards(settings, output, plan)
    summary = commit(output, plan, settings.max_bad_fraction)
    print(report(summary, plan, output))


def plan_run(settings: RunSettings, output: Folder) -> Plan:
    """The run's own plan if it has one, else a new one, made only if the model loads and passes its check."""
    plan = read_plan(output, settings.run_id)
    planned_version = plan.spec.model_version if plan else None
    bundle = versions.fetch(settings.models, settings.version or planned_version, settings.model_cache)
    spec = _spec(settings, bundle)
    if plan:
        check_same_run(plan.spec, spec)
        return plan
    load_classifier(spec, _resources(settings))
    plan = make_plan(output, spec, settings.shard_images, as_saved(settings))
    _log_plan(plan)
    return plan


def _log_plan(plan: Plan) -> None:
    counts = {"images": plan.images, "left_out": plan.left_out, "shards": len(plan.shards)}
    logger.info("planned", extra={"run": plan.spec.run, **counts})
    if plan.left_out:
        logger.warning("files left out because --include does not match their names: %d", plan.left_out)
    if not plan.images:
        logger.warning("nothing to score: no key below %s matches --include", plan.spec.source)


def shard_specs(settings: RunSettings, plan: Plan) -> list[ShardSpec]:
    """What `score_shard` takes, for each shard of the plan."""
    output, resources = _absolute(settings.output), _resources(settings)
    return [ShardSpec(output, plan.spec, shard, resources) for shard in plan.shards]


def _spec(settings: RunSettings, bundle: ModelBundle) -> RunSpec:
    return RunSpec(
        run=settings.run_id,
        source=_absolute(settings.source),
        include=settings.include,
        exclude=settings.exclude,
        models=_absolute(settings.models),
        model_name=bundle.contract.name,
        model_version=bundle.contract.version,
        model_digest=bundle.digest,
        preprocess_digest=bundle.contract.preprocess.digest,
        top_k=settings.top_k,
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
    )


def _absolute(uri: str) -> str:
    """The same for the same place, from wherever the program is started."""
    folder = open_folder(uri)
    return str(folder.path.resolve()) if isinstance(folder, LocalFolder) else folder.uri


def _resources(settings: RunSettings) -> Resources:
    return Resources(
        batch_size=settings.batch_size,
        provider=settings.provider,
        threads=settings.threads,
        decode_threads=settings.decode_threads,
        fetch_concurrency=settings.fetch_concurrency,
        max_inflight_bytes=settings.max_inflight_bytes,
        model_cache=settings.model_cache,
    )


def _score_shards(settings: RunSettings, output: Folder, plan: Plan) -> None:
    missing = missing_shards(output, plan)
    done = plan.images - sum(plan.shards[index].images for index in missing)
    specs = shard_specs(settings, plan)
    with progress_bar(plan.images, done) as progress:
        for index in missing:
            started = time.perf_counter()
            wrote = score_shard(specs[index], progress)
            if not has_terminal():  # there the bar says it, and a line of the log would break it
                _log_shard(plan, index, time.perf_counter() - started, wrote)


def _log_shard(plan: Plan, index: int, elapsed_s: float, wrote: bool) -> None:
    images = plan.shards[index].images
    what = {"shard": index, "of": len(plan.shards), "images": images}
    text = "scored" if wrote else "another worker was first"
    logger.info(text, extra={**what, "images_per_s": round(images / elapsed_s, 1)})
