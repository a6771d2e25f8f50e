"""What a run takes over from one before: its own settings when it goes on, another run's to train further."""

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fovea.command_line import flag
from fovea.errors import DataInvalid, SettingsInvalid
from fovea.settings import as_saved
from trainer.config import TrainSettings
from trainer.network.timm_networks import preprocess_for
from trainer.options import OF_SCHEDULES, RecipeOptions, TaskOptions, written
from trainer.runs.run_folder import SETTINGS_FILE, RunFolder

CONTINUED: Final = (
    *("schedule", "ema", "precisions", "max_accuracy_drop", "target_precision", "coverage", "thresholds"),
    *TaskOptions.model_fields,
)
"""Options of a run that one which continues it takes over, as it does the recipe."""

OF_MODE: Final = {"start_lr", "end_lr"}
"""Options of a range test that one of the other --mode does not take over: on the way to 10 in equal steps
the first is too far."""

GROUPS: Final = {"group", "group_pattern"}
"""Options of which one alone may be given."""

CHANGEABLE: Final = {
    *("device", "threads", "log_level", "log_format", "log_to", "cache_dir", "runs", "run_id"),
    *("models", "checkpoint_every", "store_patience_s", "min_accuracy", "publish_anyway"),
    *("promote", "confidence", "guard_class"),
    *("nproc_per_node", "ranks_patience_s"),
}
"""Options that may change while a run goes on: of the machine, of where things are, of what is published."""


def read_settings(run: RunFolder) -> TrainSettings:
    """Raises DataInvalid when this is no run's folder."""
    saved = run.read_json(SETTINGS_FILE)
    # Older versions took options that the run's schedule had no use for, and an environment may have some.
    unused = [name for name, schedules in OF_SCHEDULES.items() if saved.get("schedule") not in schedules]
    try:
        return TrainSettings(**{**saved, **dict.fromkeys(unused)})
    except ValidationError as error:
        raise DataInvalid(f"{run.path / SETTINGS_FILE}: not the settings of a training run") from error


def check_same(run: RunFolder, settings: TrainSettings) -> None:
    """Raises SettingsInvalid when the run was begun with other settings, naming the first that differs."""
    before, now = as_saved(read_settings(run)), as_saved(settings)
    for name in now:
        if name not in CHANGEABLE and before[name] != now[name]:
            raise SettingsInvalid(
                f"--run-id: the run {run.path} was begun with {as_option(name, before[name])}, not "
                f"{as_option(name, now[name])}; go on with the same options, or choose another id"
            )


def with_continued(settings: TrainSettings) -> TrainSettings:
    """With --continue-from, options that are not given are as in that run, but for the learning rate, the
    epochs and --sizes: the training goes on at the last. What shapes a schedule is taken over with it alone,
    and so are the ends of a range test with its mode.

    Raises DataInvalid when it is no run, SettingsInvalid for options that would not fit its network.
    """
    if settings.continue_from is None:
        return settings
    run = _find_run(settings.continue_from, settings.runs)
    before = read_settings(run)
    _check_network(settings, before, run.path)
    taken = _taken_over(settings, before)
    settings = settings.model_copy(update={**taken, "continue_from": run.path, "frozen_epochs": 0})
    if settings.sizes and settings.sizes[-1] != settings.size:
        reason = f"should end with {settings.size}, which the network of --continue-from {run.path} sees"
        raise SettingsInvalid(f"--sizes {written(settings.sizes)} {reason}")
    if unused := settings.unused_by_schedule:
        raise SettingsInvalid(f"{unused}; --continue-from {run.path} goes on with {settings.schedule}")
    _check_together(settings, run.path)
    return settings


def _check_together(settings: TrainSettings, run: Path) -> None:
    """What is given and what is taken over were valid apart; saved together they have to be read again."""
    try:
        TrainSettings.model_validate(as_saved(settings))
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise SettingsInvalid(f"{reason}; what is not given is taken from --continue-from {run}") from error


def _taken_over(settings: TrainSettings, before: TrainSettings) -> dict[str, object]:
    names = {*RecipeOptions.model_fields, *CONTINUED} - settings.model_fields_set - {*CHANGEABLE, "sizes"}
    if GROUPS & settings.model_fields_set:
        names -= GROUPS
    if "mode" in settings.model_fields_set and settings.mode != before.mode:
        names -= OF_MODE
    taken = {name: getattr(before, name) for name in names}
    if taken.get("schedule", settings.schedule) == before.schedule:
        shaping = OF_SCHEDULES.keys() - settings.model_fields_set
        taken |= {name: getattr(before, name) for name in shaping}
    return taken


def _find_run(given: Path, runs: Path) -> RunFolder:
    """A run by its id, or by its folder."""
    return RunFolder(runs / given if (runs / given).is_dir() else given)


def _check_network(settings: TrainSettings, before: TrainSettings, run: Path) -> None:
    given = settings.model_fields_set
    in_training = preprocess_for(before.arch, before.preprocess_in_training, before.size, before.resize)
    of_run = {"arch": before.arch, "size": before.size, "resize": in_training.resize, "fit": before.fit}
    for name, of_network in of_run.items():
        value = getattr(settings, name)
        if name in given and value not in {None, of_network}:
            reason = f"goes on with that run's network, which has {of_network}"
            raise SettingsInvalid(f"{flag(name)} {value}: --continue-from {run} {reason}")
    for name in ("weights", "weights_sha256", "frozen_epochs"):
        if name in given:
            reason = "starts from that run's weights, none of them frozen"
            raise SettingsInvalid(
                f"{as_option(name, getattr(settings, name))}: --continue-from {run} {reason}"
            )


def as_option(name: str, value: object) -> str:
    """As on the command line."""
    if isinstance(value, bool):
        return flag(name) if value else flag(f"no_{name}")
    if isinstance(value, list | tuple):
        value = written(value) or None
    return f"no {flag(name)}" if value is None else f"{flag(name)} {value}"
