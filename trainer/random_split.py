"""How much a random split would flatter: the same recipe, trained once more where groups are torn apart."""

import logging
import shutil

import torch

from fovea import tracing
from fovea.errors import SettingsInvalid
from fovea.stopping import Stopping
from trainer.config import TrainSettings
from trainer.evaluate.prediction import predict
from trainer.fit.loop import fit
from trainer.images.grouping import GroupsRecord
from trainer.images.sources import Split, check_split, list_every_image
from trainer.images.stratification import stratify
from trainer.learning_rate.decision import Decision
from trainer.preparation import Start, grouping_of, read_data, start_from_weights
from trainer.ranks.group import Ranks
from trainer.recipe import recipe_of
from trainer.runs.random_split import RandomSplitRecord, read_random_split
from trainer.runs.run_folder import RANDOM_SPLIT_FILE, RunFolder

logger = logging.getLogger(__name__)

FOLDER = "random-split"
"""Of the training while it is under way."""


def check_comparable(settings: TrainSettings, ranks: Ranks) -> None:
    """Raises SettingsInvalid where --compare-random-split would compare nothing, or cannot."""
    if not settings.compare_random_split:
        return
    asked = "--compare-random-split"
    if not grouping_of(settings):
        raise SettingsInvalid(f"{asked} compares a split by groups: give --group or --group-pattern too")
    if settings.continue_from is not None:
        raise SettingsInvalid(
            f"{asked}: the network of --continue-from {settings.continue_from} has seen images that a random "
            "split would hold out; compare in a run that starts from --weights"
        )
    if ranks.share.world > 1:
        raise SettingsInvalid(f"{asked} is trained by one process: leave it out, or train with one rank")


def compare_random_split(
    run: RunFolder, start: Start, settings: TrainSettings, decision: Decision, stopping: Stopping
) -> None:
    """Writes random_split.json, unless it is there. What was broken off goes on with the run.

    Raises what a training does.
    """
    if start.data.groups is None or not settings.compare_random_split or read_random_split(run):
        return
    with tracing.span("random split"):
        record = _train(run, start, start.data.groups, settings, decision, stopping)
    run.write_record(RANDOM_SPLIT_FILE, record)
    shutil.rmtree(run.path / FOLDER, ignore_errors=True)
    logger.info("the same recipe on a random split: %.2f %%", 100 * record.accuracy)


def _train(
    run: RunFolder,
    start: Start,
    groups: GroupsRecord,
    settings: TrainSettings,
    decision: Decision,
    stopping: Stopping,
) -> RandomSplitRecord:
    logger.info("the same recipe on a random split, of as many images in each part")
    precision = start.precision
    split = _random_split(settings, groups)
    data = read_data(split, settings, settings.threads, start.checkpoint.preprocess)
    torch.manual_seed(settings.seed)
    checkpoint, digest = start_from_weights(settings, data.labels)
    checkpoint.network.to(precision.device, memory_format=precision.memory_format)  # type: ignore[call-overload]
    recipe = recipe_of(settings, Start(data, checkpoint, precision, digest), decision)
    RunFolder(run.path / FOLDER).make()
    fit(checkpoint, data, recipe, precision, stopping, run.path / FOLDER)
    said = predict(checkpoint.network, data.told, settings.batch_size).argmax(1)
    right = int((said == data.told.targets).sum())
    return RandomSplitRecord(right=right, images=len(data.told), trained_on=len(data.train))


def _random_split(settings: TrainSettings, groups: GroupsRecord) -> Split:
    """Of all images, with the shares that the split by groups has of each part."""
    source = settings.source
    every = list_every_image(source, settings.corrections, settings.cache_dir, captures=settings.captures)
    images = sum(groups.images.values())
    held, test = (groups.images.get(part, 0) / images for part in ("heldout", "test"))
    return check_split(source, *stratify(source, every.train, held, test, settings.seed))
