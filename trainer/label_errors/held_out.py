"""What networks say of images that they were not trained on: a training a fold, which can be broken off."""

import hashlib
import io
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from pydantic import BaseModel

from fovea.settings import SavedSettings, as_saved
from fovea.stopping import Stopping
from fovea.stores.storage import LocalFolder
from trainer.config import LabelsSettings
from trainer.evaluate.metrics import Logits, Targets
from trainer.evaluate.prediction import predict
from trainer.fit.loop import fit
from trainer.learning_rate.decision import Decision, fixed_rate, read_decision, write_decision
from trainer.preparation import Start, start_from_weights
from trainer.recipe import check_triangles, find_learning_rate, recipe_of
from trainer.resuming import CHANGEABLE
from trainer.runs.run_folder import DECISION_FILE, RunFolder

logger = logging.getLogger(__name__)

UNFINISHED: Final = ".unfinished"
BEGUN_FILE: Final = "begun.json"


class BegunRecord(BaseModel, frozen=True):
    """What has to be the same for a search to go on."""

    settings: SavedSettings
    data_digest: str
    folds_digest: str = ""
    """sha256 of the fold of each image, hexadecimal"""


@dataclass(frozen=True)
class Search:
    """A search for wrong labels: its images and its folds, and where it keeps what is done."""

    start: Start
    """with every image in both parts, see `prepare_every_image`; its network is taken by the range test"""
    fold_of: Targets
    settings: LabelsSettings
    output: RunFolder

    @property
    def unfinished(self) -> RunFolder:
        return RunFolder(self.output.path / UNFINISHED)

    def begin(self) -> None:
        """Takes up what an earlier process did of the same, or begins anew."""
        saved = as_saved(self.settings)
        options = {name: saved[name] for name in saved if name not in {*CHANGEABLE, "output"}}
        folds = hashlib.sha256(self.fold_of.tobytes()).hexdigest()
        record = BegunRecord(settings=options, data_digest=self.start.data.digest, folds_digest=folds)
        if self.unfinished.holds(BEGUN_FILE):
            if self.unfinished.read_record(BEGUN_FILE, BegunRecord) == record:
                logger.info("going on with the search in %s", self.output.path)
                return
            logger.info("the search in %s was of other images or options: starting again", self.output.path)
        self.end()
        self.unfinished.make()
        self.unfinished.write_record(BEGUN_FILE, record)

    def end(self) -> None:
        shutil.rmtree(self.unfinished.path, ignore_errors=True)

    def learning_rate(self, stopping: Stopping) -> Decision:
        """The same for all folds: of one range test, without the first of them."""
        if self.unfinished.holds(DECISION_FILE):
            return read_decision(self.unfinished)
        with self.start.ranks.agreeing(stopping):
            rate = self.settings.lr
            decision = (
                find_learning_rate(self._without(0), self.settings) if rate == "auto" else fixed_rate(rate)
            )
        check_triangles(self.settings, decision.lr)
        write_decision(self.unfinished, decision)
        return decision

    def logits(self, decision: Decision, stopping: Stopping) -> Logits:
        """float32 [n, classes]: of each image, by the network that was trained without it; zeros of an image
        that always is trained on."""
        said = np.zeros((len(self.fold_of), len(self.start.data.labels)), np.float32)
        for fold in range(self.settings.folds):
            held = self.fold_of == fold
            said[held] = self._say(fold, decision, stopping)
            right = (said[held].argmax(1) == self.start.data.heldout.targets[held]).mean()
            logger.info("fold %d of %d: %.2f %% as labelled", fold + 1, self.settings.folds, 100 * right)
        return said

    def _say(self, fold: int, decision: Decision, stopping: Stopping) -> Logits:
        answers, training = f"fold-{fold + 1}.npy", self.unfinished.path / f"fold-{fold + 1}"
        if not self.unfinished.holds(answers):
            LocalFolder(self.unfinished.path).write(
                answers, _as_npy(self._train(fold, decision, training, stopping))
            )
            shutil.rmtree(training, ignore_errors=True)
        return np.asarray(np.load(self.unfinished.path / answers), np.float32)

    def _train(self, fold: int, decision: Decision, training: Path, stopping: Stopping) -> Logits:
        start, settings = self._without(fold), self.settings
        training.mkdir(exist_ok=True)
        recipe = recipe_of(settings, start, decision)
        again = f"--output {self.output.path}"
        fit(start.checkpoint, start.data, recipe, start.precision, stopping, training, named_by=again)
        return predict(start.checkpoint.network, start.data.heldout, settings.batch_size)

    def _without(self, fold: int) -> Start:
        """As a training begins that does not see the images of a fold."""
        data, precision, held = self.start.data, self.start.precision, self.fold_of == fold
        parts = replace(
            data,
            train=data.train.chosen(np.flatnonzero(~held)),
            heldout=data.heldout.chosen(np.flatnonzero(held)),
        )
        torch.manual_seed(self.settings.seed)
        checkpoint, digest = start_from_weights(self.settings, data.labels)
        checkpoint.network.to(precision.device, memory_format=precision.memory_format)  # type: ignore[call-overload]
        return Start(parts, checkpoint, precision, digest)


def _as_npy(values: Logits) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()
