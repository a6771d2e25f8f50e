"""Whether a model is worse than the latest, on the same images; and publishing that depends on it."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fovea.errors import BundleInvalid, DataInvalid, Unavailable
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.model.promotions import Overtaken, move, promotion_of
from fovea.stores.storage import Folder, open_reachable
from trainer.compare.comparison import Classes, Comparison, compare_answers, in_words
from trainer.compare.replay import replay
from trainer.images.audit import check_bad, left_out
from trainer.images.sources import Sample

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Guard:
    """When a model is worse."""

    confidence: float
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Labelled:
    """Images that models are weighed on."""

    source: str
    """as --data names it: what is said of bad ones begins with it"""
    samples: Sequence[Sample]
    max_bad_fraction: float
    cache_dir: Path
    """into which the model of a bucket is downloaded that they are weighed against"""


@dataclass(frozen=True)
class Weighed:
    """A model beside the version that was the latest."""

    against: int | None
    """None where there is none yet"""
    words: str
    """how the accuracies are apart"""
    worse: tuple[str, ...]
    """why it is worse; none where it is not"""
    found: Comparison | None = None
    """None of a first version"""
    common: tuple[str, ...] = ()
    """the classes of both, whose images were compared"""

    @property
    def refusal(self) -> str | None:
        return f"it is worse than version {self.against}: {'; '.join(self.worse)}" if self.worse else None


class Put(NamedTuple):
    """Where a model went."""

    uri: str
    refusal: str | None
    """why it is not the latest"""


def weigh(
    new: ModelBundle,
    models_uri: str,
    images: Labelled,
    guard: Guard,
    threads: int,
    besides: int = 0,
) -> Weighed:
    """Beside the latest of the models' versions `besides` this one, which is the model itself.

    Raises what comparing does, BundleInvalid for a latest that cannot be opened, and DataInvalid where more
    than `max_bad_fraction` of the images cannot be decoded, or all.
    """
    models = open_reachable(models_uri)
    against = versions.latest(models, besides=besides)
    if against is None:
        return Weighed(None, "the first version", ())
    old = versions.fetch(models_uri, against, images.cache_dir)
    classes = Classes.of(new.contract, old.contract)
    classes.check_guards(guard.classes)
    kept, _ = classes.divide(images.samples)
    answers = replay(Classifier(new, "cpu", 1), Classifier(old, "cpu", 1), kept, threads)
    check_bad(images.source, answers.bad, len(kept), images.max_bad_fraction)
    if answers.bad:
        logger.warning("%s", left_out(answers.bad))
    found = compare_answers(answers, new.contract, old.contract, guard.classes, guard.confidence)
    words = f"beside version {against}, accuracy {in_words(found.overall)}"
    return Weighed(against, words, found.worse, found, classes.common)


def publish_unless_worse(
    new: ModelBundle,
    weighed: Weighed,
    models_uri: str,
    images: Labelled,
    guard: Guard,
    threads: int,
) -> Put:
    """As a version that is the latest, or below candidates/. Should another become the latest meanwhile, the
    model is weighed against that, too; where it cannot be, it stays a version that is not the latest."""
    if weighed.refusal:
        return Put(versions.put_candidate(new, models_uri), weighed.refusal)
    models = open_reachable(models_uri)
    number = versions.publish(new, models_uri, promotes=False).contract.version
    uri = models.folder(str(number)).uri
    try:
        while not _becomes_latest(models, number, weighed):
            weighed = weigh(new, models_uri, images, guard, threads, besides=number)
            if weighed.refusal:
                versions.hold(models, weighed.against)
                return Put(uri, weighed.refusal)
    except (BundleInvalid, DataInvalid, Unavailable) as error:  # the version is there: its run is to know it
        with suppress(BundleInvalid, Unavailable):
            versions.hold(models, versions.latest(models, besides=number))
        return Put(uri, cannot_be_compared(error))
    return Put(uri, None)


def cannot_be_compared(error: Exception) -> str:
    """Why a model is not the latest then, and what to do."""
    return f"it cannot be compared with the latest: {error}; see to that, then promote it"


def _becomes_latest(models: Folder, number: int, weighed: Weighed) -> bool:
    """False where another is the latest by now than it was weighed against."""
    seen = versions.look(models)
    if versions.latest(models, seen, number) != weighed.against:
        return False
    try:
        move(models, seen.standing, promotion_of(number, seen.order, "publish", weighed.words))
    except Overtaken:
        return False
    return True
