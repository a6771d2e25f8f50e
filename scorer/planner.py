"""What is to be scored, by the settings, and which model is to do it."""

import logging

from fovea import versions
from fovea.bundle import ModelBundle
from fovea.folder import Folder
from fovea.settings import as_saved
from fovea.storage import LocalFolder, open_folder
from scorer.listing import make_plan
from scorer.options import PlanOptions
from scorer.plan import Plan, RunSpec, check_same_run, read_plan
from scorer.shard import load_classifier

logger = logging.getLogger(__name__)


def plan_run(settings: PlanOptions, output: Folder) -> Plan:
    """The run's own plan if it has one, else a new one, made only if the model loads and passes its check."""
    plan = read_plan(output, settings.run_id)
    planned_version = plan.spec.model_version if plan else None
    bundle = versions.fetch(settings.models, settings.version or planned_version, settings.model_cache)
    spec = _spec(settings, bundle)
    if plan:
        check_same_run(plan.spec, spec)
        return plan
    load_classifier(spec, settings.provider, settings.threads, settings.model_cache)
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


def _spec(settings: PlanOptions, bundle: ModelBundle) -> RunSpec:
    return RunSpec(
        run=settings.run_id,
        source=absolute(settings.source),
        include=settings.include,
        exclude=settings.exclude,
        models=absolute(settings.models),
        model_name=bundle.contract.name,
        model_version=bundle.contract.version,
        model_digest=bundle.digest,
        preprocess_digest=bundle.contract.preprocess.digest,
        top_k=settings.top_k,
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
    )


def absolute(uri: str) -> str:
    """The same for the same place, from wherever the program is started."""
    folder = open_folder(uri)
    return str(folder.path.resolve()) if isinstance(folder, LocalFolder) else folder.uri
