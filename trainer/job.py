"""The commands: each is one function that reads downwards."""

import time
from collections.abc import Sequence

from fovea.errors import DataInvalid, SettingsInvalid
from fovea.model.versions import published
from fovea.settings import as_saved
from fovea.stopping import Stopping
from fovea.stores.conditional_puts import require_conditional_puts
from fovea.stores.storage import LocalFolder, open_folder
from trainer.config import ExportSettings, LrFindSettings, TrainSettings
from trainer.fit.loop import fit
from trainer.images.audit import read_audit
from trainer.images.data import DataSet
from trainer.learning_rate.decision import (
    Decision,
    as_record,
    fixed_rate,
    from_record,
    read_decision,
    write_decision,
)
from trainer.network.checkpoint import CHECKPOINT_FILE, Checkpoint
from trainer.network.precision import choose_precision
from trainer.preparation import Start, confirm_alike, list_images, prepare, read_data
from trainer.random_split import check_comparable, compare_random_split
from trainer.ranks.group import ALONE, Ranks
from trainer.recipe import check_triangles, find_learning_rate, recipe_of
from trainer.release.publishing import Terms, describe_refusal, describe_worse
from trainer.release.release import Released, read_released, release
from trainer.report.rate_curve import write_curve
from trainer.resuming import check_same, read_settings, with_continued
from trainer.runs.history import FitRecord
from trainer.runs.lineage import RunOrigin
from trainer.runs.run_folder import (
    AUDIT_FILE,
    CURVE_FILE,
    FIT_FILE,
    RANGE_TESTS,
    SETTINGS_FILE,
    SUMMARY_FILE,
    RunFolder,
)
from trainer.summary import (
    describe,
    describe_decision,
    describe_finished,
    describe_release,
    is_finished,
    note_export,
    summarise,
)
from trainer.telling import tell_choice, tell_outcome, tracked
from trainer.tracking.trackers import check


def find_lr(settings: LrFindSettings, ranks: Ranks = ALONE) -> None:
    """`lr-find`: the range test alone. Prints the suggestions; writes lr_find.png, lr_find.json, the settings
    and the audit."""
    stopping = Stopping()
    confirm_alike(settings, ranks)
    if not ranks.is_first:
        _find_along(settings, stopping, ranks)
        return
    folder = RunFolder.output(settings.output, RANGE_TESTS)
    start = prepare(settings, ranks)
    folder = folder.claim()
    folder.write_json(SETTINGS_FILE, as_saved(settings))
    folder.write_record(AUDIT_FILE, start.data.audit())
    with ranks.agreeing(stopping):
        decision = find_learning_rate(start, settings)
    _write_decision(folder, decision)
    print(describe_decision(decision))
    print(f"\n{folder.path / CURVE_FILE}")


def _find_along(settings: LrFindSettings, stopping: Stopping, ranks: Ranks) -> None:
    start = prepare(settings, ranks)
    with ranks.agreeing(stopping):
        find_learning_rate(start, settings)
    ranks.follow()


def train(settings: TrainSettings, ranks: Ranks = ALONE) -> None:
    """`train`: everything from the images to a published version. A run that was broken off goes on.

    Several ranks train together; all else, in the run's folder and beyond, the first one does.
    """
    started, stopping = time.monotonic(), Stopping()
    confirm_alike(settings, ranks)
    settings = with_continued(settings)
    check_comparable(settings, ranks)
    if not ranks.is_first:
        _take_part(settings, stopping, ranks)
        return
    run = _open_run(settings)
    done = run.holds(SUMMARY_FILE) and is_finished(run)
    if ranks.from_first(lambda: done):
        print(describe_finished(run))
        return
    start = prepare(settings, ranks)
    _check_guards(settings, start.data.labels)
    run = run.claim()
    with run.locked(), tracked(run, start, settings).told() as tracking:
        decision = _begin_run(run, start, settings, stopping)
        tell_choice(tracking, run, decision)
        recipe = recipe_of(settings, start, decision)
        fit_record, epochs = fit(
            start.checkpoint, start.data, recipe, start.precision, stopping, run.path, tracking, ranks
        )
        tracking.epochs(epochs)
        run.write_record(FIT_FILE, fit_record)
        compare_random_split(run, start, settings, decision, stopping)
        checkpoint = start.checkpoint.at(fit_record.kept_epoch)
        released = read_released(run) or release(
            run,
            checkpoint,
            start.data,
            settings,
            settings.models,
            Terms.of(settings),
            settings.threads,
            stopping,
        )
        summary = summarise(run, start.data, decision, fit_record, released, time.monotonic() - started)
        run.write_record(SUMMARY_FILE, summary)
        tell_outcome(tracking, run, released)
    _print_and_check(describe(summary, decision, fit_record, released), released, run, settings.models)


def _check_guards(settings: TrainSettings, labels: Sequence[str]) -> None:
    """Before it is trained."""
    if unknown := [guard for guard in settings.guard_class if guard not in labels]:
        raise SettingsInvalid(f"--guard-class: there is no image of a class {unknown[0]!r}")


def _open_run(settings: TrainSettings) -> RunFolder:
    check(settings.log_to)
    _check_models(settings.models)
    run = RunFolder.of(settings.runs, settings.run_id)
    if run.holds(CHECKPOINT_FILE):
        check_same(run, settings)
    return run


def _take_part(settings: TrainSettings, stopping: Stopping, ranks: Ranks) -> None:
    """What another rank than the first does. It may be on a machine without the run's folder."""
    done = ranks.from_first(lambda: False)  # which is for the first to say
    if done:
        return
    start = prepare(settings, ranks)
    decision = _decide(start, settings, None, stopping)
    recipe = recipe_of(settings, start, decision)
    nowhere = settings.runs / (settings.run_id or "")
    fit(start.checkpoint, start.data, recipe, start.precision, stopping, nowhere, ranks=ranks)
    ranks.follow()


def export(settings: ExportSettings) -> None:
    """`export`: release a finished run again."""
    stopping = Stopping()
    _check_models(settings.models)
    run = RunFolder(settings.run)
    checkpoint = Checkpoint.load(run.path)
    run.read_record(FIT_FILE, FitRecord)  # the last that training writes: refused now, not after the gate
    trained = read_settings(run)
    terms = Terms.of(settings, trained)
    precision = choose_precision(settings.device, settings.threads)
    checkpoint.network.to(precision.device)
    data = read_data(list_images(trained), trained, settings.threads, checkpoint.preprocess)
    _check_images(run, data, trained)
    released = release(run, checkpoint, data, trained, settings.models, terms, settings.threads, stopping)
    note_export(run, released)
    _print_and_check(describe_release(released, data.audit().told), released, run, settings.models)


def _print_and_check(text: str, released: Released, run: RunFolder, models: str) -> None:
    """Raises DataInvalid, when all is said, where the model is not published."""
    try:
        print(text, flush=True)
    finally:  # also when nobody reads what is printed
        if released.refusal and released.is_worse:
            raise DataInvalid(describe_worse(run, released.refusal, released.uri))
        if released.refusal:
            raise DataInvalid(describe_refusal(run, released.refusal, models))


def _check_models(uri: str) -> None:
    """Before hours of training: does the store answer, and can this be a folder to write to?"""
    models = open_folder(uri)
    published(models)
    require_conditional_puts(models)
    if isinstance(models, LocalFolder):
        RunFolder(models.path).check("--models")


def _begin_run(run: RunFolder, start: Start, settings: TrainSettings, stopping: Stopping) -> Decision:
    """Writes what the run begins with; of a run that goes on, checks it."""
    if run.holds(CHECKPOINT_FILE):
        _check_images(run, start.data, settings)
        return _decide(start, settings, read_decision(run), stopping)
    run.write_json(SETTINGS_FILE, as_saved(settings))
    run.write_record(AUDIT_FILE, start.data.audit())
    _origin(start, settings).write(run)
    given = fixed_rate(settings.lr) if settings.lr != "auto" else None
    decision = _decide(start, settings, given, stopping)
    _write_decision(run, decision)
    check_triangles(settings, decision.lr)
    return decision


def _decide(start: Start, settings: TrainSettings, known: Decision | None, stopping: Stopping) -> Decision:
    """The range test's, unless the first rank has it from before, or as it was given."""
    ranks = start.ranks
    record = ranks.from_first(lambda: as_record(known) if known else None)
    if record is not None:
        return from_record(record)
    with ranks.agreeing(stopping):
        return find_learning_rate(start, settings)


def _origin(start: Start, settings: TrainSettings) -> RunOrigin:
    origin = RunOrigin(
        data_digest=start.data.digest, weights_sha256=start.weights_sha256, **_corrected(start.data)
    )
    if start.data.groups:
        origin = origin.model_copy(update={"groups": start.data.groups.groups})
    if settings.continue_from is None:
        return origin
    earlier = {"continued_from": settings.continue_from.name, "epochs_before": start.checkpoint.epochs}
    return origin.model_copy(update=earlier)


def _corrected(data: DataSet) -> dict[str, int]:
    counts: dict[str, int] = {}
    if data.corrections:
        counts |= {"labels_corrected": data.corrections.labels, "images_left_out": data.corrections.left_out}
    if data.captures:
        counts |= {"captured_labelled": data.captures.labelled, "captured_left_out": data.captures.left_out}
    return counts


def _check_images(run: RunFolder, data: DataSet, settings: TrainSettings) -> None:
    audit = read_audit(run)
    if data.digest == audit.digest:
        return
    refused = f"{settings.source}: the images are not those that the run {run.path} was begun with"
    if audit.left_for_evaluate:
        refused += ", by an older version that took no part test: move that away until the run is done"
    raise DataInvalid(refused)


def _write_decision(folder: RunFolder, decision: Decision) -> None:
    write_decision(folder, decision)
    if decision.curve is not None:
        write_curve(folder.path / CURVE_FILE, decision)
