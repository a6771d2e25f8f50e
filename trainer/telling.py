"""What of a training is told to the trackers of --log-to."""

import hashlib
import json
import secrets
import shutil
from collections.abc import Sized
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from fovea.model.bundle import REPORT_FILE
from fovea.stores.storage import open_folder
from trainer.config import TrainSettings
from trainer.learning_rate.decision import Decision
from trainer.network.checkpoint import CHECKPOINT_FILE
from trainer.preparation import Start
from trainer.release.model_lineage import settings_of_the_model
from trainer.release.release import Released
from trainer.resuming import CHANGEABLE
from trainer.runs.run_folder import CURVE_FILE, DECISION_FILE, RunFolder
from trainer.tracking.standing import Chosen, Outcome, Standing
from trainer.tracking.trackers import FOLDERS, trackers
from trainer.tracking.tracking import Tracking

TRACKING_FILE: Final = "tracking.json"


class TrackingRecord(BaseModel, frozen=True):
    """tracking.json: what trackers know this training by, in all processes that it takes."""

    key: str
    recipe_sha256: str
    """of the recipe: a run that begins again with another one is another training"""


def tracked(run: RunFolder, start: Start, settings: TrainSettings) -> Tracking:
    """Of a run whose folder is there and locked. Nothing is told yet."""
    recipe = _recipe(start, settings)
    if not settings.log_to:
        return Tracking(Standing(run.path.name, "", "", recipe), [])
    model = open_folder(settings.models).name
    standing = Standing(run.path.name, model, _key(run, recipe), recipe)
    return Tracking(standing, trackers(settings.log_to, run.path))


def tell_choice(tracking: Tracking, run: RunFolder, decision: Decision) -> None:
    curve = decision.curve
    chosen = Chosen(
        decision.lr,
        decision.warning or decision.why,
        decision.confidence,
        tuple(curve.lrs if curve else ()),
        tuple(curve.losses if curve else ()),
    )
    tracking.choice(chosen, _there(run, DECISION_FILE, CURVE_FILE))


def tell_outcome(tracking: Tracking, run: RunFolder, released: Released) -> None:
    metrics = released.metrics
    told = {"accuracy": metrics.accuracy, "loss": metrics.loss, "ece": metrics.ece}
    if released.label_metrics is not None:
        told["map"] = released.label_metrics.map
    outcome = Outcome(
        released.uri,
        released.version,
        released.digest,
        {f"released_{name}": value for name, value in told.items()},
        released.refusal,
    )
    tracking.outcome(outcome, _there(run, REPORT_FILE))


def _there(run: RunFolder, *names: str) -> tuple[Path, ...]:
    return tuple(run.path / name for name in names if run.holds(name))


def _recipe(start: Start, settings: TrainSettings) -> dict[str, str]:
    """The options that cannot change while a run goes on, as they are written, and the images."""
    options = {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in settings_of_the_model(settings).items()
        if name not in CHANGEABLE and value is not None
    }
    data = start.data
    parts: dict[str, Sized]
    parts = {"images_train": data.train, "images_heldout": data.heldout, "classes": data.labels}
    if data.test is not None:
        parts["images_test"] = data.test
    counts = {name: str(len(part)) for name, part in parts.items()}
    return {**options, **counts, "data_digest": data.digest}


def _key(run: RunFolder, recipe: dict[str, str]) -> str:
    """Of the training that the run goes on with, or a new one: then what was told of another one goes."""
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    if run.holds(TRACKING_FILE):
        known = run.read_record(TRACKING_FILE, TrackingRecord)
        if known.recipe_sha256 == digest or run.holds(CHECKPOINT_FILE):
            return known.key
    for folder in FOLDERS:
        shutil.rmtree(run.path / folder, ignore_errors=True)
    record = TrackingRecord(key=secrets.token_hex(16), recipe_sha256=digest)
    run.write_record(TRACKING_FILE, record)
    return record.key
