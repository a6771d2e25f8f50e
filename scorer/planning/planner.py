"""What is to be scored, by the settings, which model is to do it, and what need not be done again."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from fovea.command_line import flag
from fovea.errors import DataInvalid, SettingsInvalid
from fovea.images.formats import image_path_text
from fovea.images.names import LITTER
from fovea.images.passed_over import PassedOver
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from fovea.progress import logged
from fovea.settings import as_saved
from fovea.stores.folder import Folder
from fovea.stores.storage import LocalFolder, open_folder
from scorer.files import layout
from scorer.files.folders import open_source
from scorer.files.manifest import PlannedImage
from scorer.files.plan import CaptureSpec, LeftOut, Plan, RunSpec, check_same_run, read_plan
from scorer.options import PlanOptions
from scorer.planning.carry import Rule, carry_forward
from scorer.planning.class_drift import drifting_labels
from scorer.planning.content import images_by_content
from scorer.planning.earlier import EarlierRun, finished_run, previous_run
from scorer.planning.listing import Selection
from scorer.planning.requeue import requeued_images, requeued_spec
from scorer.planning.sharding import ShardLimits, write_shards
from scorer.scoring.shard import load_classifier

logger = logging.getLogger(__name__)


def plan_run(settings: PlanOptions, output: Folder) -> Plan:
    """The run's own plan if it has one, else a new one, made only if the model loads and passes its check."""
    plan = read_plan(output, settings.run_id)
    requeued = _requeued(settings, output, plan)
    known = plan or (requeued.plan if requeued else None)
    version = settings.version or (known.spec.model_version if known else None)
    spec = spec_of(
        settings, versions.fetch(settings.models, version, settings.model_cache, long_retries=True)
    )
    if settings.requeue and known:
        spec = requeued_spec(settings, spec, known.spec)
    if plan:
        check_same_run(plan.spec, spec)
        return plan
    load_classifier(spec, settings.provider, settings.threads, settings.model_cache, None)
    plan = make_plan(settings, output, spec, open_source(spec.source, first=True), requeued)
    _log_plan(plan)
    return plan


def make_plan(
    settings: PlanOptions, output: Folder, spec: RunSpec, source: Folder, requeued: EarlierRun | None = None
) -> Plan:
    """Lists the source and writes manifests and plan.json; returns the plan that holds.

    If another planner was first with this run, its plan holds. Raises Unavailable when a store does not
    answer, DataInvalid when the listing is not sorted or the file of keys is none.
    """
    draft = _requeue(requeued, source) if requeued else _carry(settings, output, spec, source)
    limits = ShardLimits(settings.shard_images, settings.shard_bytes)
    images = logged(draft.images, "planning", every=1000)  # a plan takes some microseconds an image
    shards = tuple(write_shards(output, spec.run, images, limits, spec.max_image_bytes))
    left_out = draft.left_out()
    plan = Plan(
        created=datetime.now(UTC),
        spec=spec,
        shards=shards,
        # The plan of an earlier run may be from before its kinds were counted.
        left_out=requeued.plan.left_out if requeued else sum(kind.files for kind in left_out.values()),
        left_out_kinds=left_out,
        previous=draft.previous,
        requeues=requeued.name if requeued else None,
        drifting=drifting_labels(output) if spec.capture else (),
        settings=as_saved(settings),
    )
    if draft.previous is None:
        logger.info("nothing is carried forward: %s", draft.why_none)
    return _publish(output, plan)


@dataclass(frozen=True)
class _Draft:
    """The images that are planned, sorted by key; what is left out is known once they are through."""

    images: Iterable[PlannedImage]
    left_out: Callable[[], dict[str, LeftOut]]
    previous: str | None
    why_none: str = ""


def _carry(settings: PlanOptions, output: Folder, spec: RunSpec, source: Folder) -> _Draft:
    selection = Selection(source, spec)
    previous = "--full scores every image" if settings.full else previous_run(output, spec)
    if isinstance(previous, str):
        images: Iterable[PlannedImage] = map(PlannedImage, selection)
        name, why_none = None, previous
    else:
        images = carry_forward(selection, previous.rows(), Rule.between(previous.plan.spec, spec))
        name, why_none = previous.name, ""
    if selection.looks_into:
        images = images_by_content(images, source, selection.left_out)
    return _Draft(images, lambda: _by_kind(selection.left_out), name, why_none)


def _by_kind(left_out: PassedOver) -> dict[str, LeftOut]:
    return {name: LeftOut.model_validate(kind) for name, kind in left_out.record().items()}


def _requeue(requeued: EarlierRun, source: Folder) -> _Draft:
    left_out = requeued.plan.left_out_kinds
    return _Draft(requeued_images(requeued, source), lambda: left_out, requeued.name)


def _publish(output: Folder, plan: Plan) -> Plan:
    run = plan.spec.run
    path = f"{layout.plan_folder(run)}/{layout.PLAN}"
    if output.put_if_absent(path, plan.model_dump_json(indent=2).encode() + b"\n"):
        return plan
    winner = read_plan(output, run)
    if winner is None:
        raise DataInvalid(f"{output.uri}/{path}: it was there a moment ago, and is gone; run again")
    check_same_run(winner.spec, plan.spec)
    return winner


def _requeued(settings: PlanOptions, output: Folder, plan: Plan | None) -> EarlierRun | None:
    """The run whose bad images are tried again, if the settings ask for it and that is not planned yet."""
    asked = settings.requeue
    if asked is None:
        return None
    if settings.full:
        raise SettingsInvalid("--full scores every image, --requeue only those that are not ok: take one")
    if asked == settings.run_id:
        raise SettingsInvalid(f"--requeue {asked}: this makes a run of its own; take another --run-id")
    if plan and plan.requeues != asked:
        raise SettingsInvalid(f"--run-id {settings.run_id}: this run was planned without --requeue {asked}")
    return None if plan else finished_run(output, asked)


def _log_plan(plan: Plan) -> None:
    counts = {"images": plan.images, "carried": plan.carried, "left_out": plan.left_out}
    logger.info("planned", extra={"run": plan.spec.run, **counts, "shards": len(plan.shards)})
    if plan.left_out:
        matters = plan.left_out_kinds.keys() != {LITTER}
        logger.log(logging.WARNING if matters else logging.INFO, "files left out: %s", plan.left_out_line)
    if not plan.images:
        logger.warning("nothing to score: %s", _why_empty(plan))


def _why_empty(plan: Plan) -> str:
    where = f"is named by {plan.spec.keys}" if plan.spec.keys else f"is below {plan.spec.source}"
    none = f"none of what {where} is an image by --include or first bytes"
    return none if plan.left_out else f"nothing {where}"


def spec_of(settings: PlanOptions, bundle: ModelBundle) -> RunSpec:
    """Raises SettingsInvalid for what the model does not give."""
    _refuse_of_multi_label(settings, bundle)
    return RunSpec(
        run=settings.run_id,
        source=absolute(settings.source) if settings.source else "",
        include=settings.include,
        exclude=settings.exclude,
        keys=absolute(settings.keys) if settings.keys else None,
        models=absolute(settings.models),
        model_name=bundle.contract.name,
        model_version=bundle.contract.version,
        model_digest=bundle.digest,
        preprocess_digest=bundle.contract.preprocess.digest,
        image_path=image_path_text(),
        top_k=settings.top_k,
        label_set_quantile=_quantile(settings, bundle),
        distances=_given(settings, "distances", bundle, bundle.contract.out_of_distribution is not None),
        embeddings=_given(settings, "embeddings", bundle, bundle.contract.gives_embeddings),
        task=bundle.contract.task,
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
        capture=_capture(settings),
    )


def _capture(settings: PlanOptions) -> CaptureSpec | None:
    if settings.capture is None:
        return None
    return CaptureSpec(
        folder=absolute(settings.capture),
        images=settings.capture_images,
        share=settings.capture_share,
        margin=settings.capture_margin,
        per_run=settings.capture_per_run,
        bytes_per_run=settings.capture_bytes_per_run,
    )


def _refuse_of_multi_label(settings: PlanOptions, bundle: ModelBundle) -> None:
    """What only a model has whose labels exclude each other, however it is trained."""
    contract = bundle.contract
    for option in ("label_sets", "distances") if contract.thresholds is not None else ():
        if getattr(settings, option):
            raise SettingsInvalid(
                f"{flag(option)}: {contract.name} version {contract.version} is multi-label, and has none; "
                "leave it out: its rows have the labels that it selects"
            )


def _quantile(settings: PlanOptions, bundle: ModelBundle) -> float | None:
    """Of the label sets that rows are to have, None where they are not."""
    if not settings.label_sets:
        return None
    contract = bundle.contract
    if contract.prediction_sets is None:
        raise SettingsInvalid(
            f"--label-sets: {contract.name} version {contract.version} was released without prediction sets; "
            "leave it out, or train with enough held-out images for --coverage"
        )
    return contract.prediction_sets.quantile


def _given(settings: PlanOptions, option: str, bundle: ModelBundle, is_there: bool) -> bool:
    """Whether rows are to have that of the model."""
    asked = bool(getattr(settings, option))
    if asked and not is_there:
        contract = bundle.contract
        raise SettingsInvalid(
            f"{flag(option)}: {contract.name} version {contract.version} was released before there were any; "
            "leave it out, or publish its run again (python -m trainer export)"
        )
    return asked


def absolute(uri: str) -> str:
    """The same for the same place, from wherever the program is started."""
    folder = open_folder(uri)
    return str(folder.path.resolve()) if isinstance(folder, LocalFolder) else folder.uri
