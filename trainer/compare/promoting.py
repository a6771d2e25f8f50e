"""`promote`, `rollback`, `canary`: which version is the latest, or is tried beside it, by a record that says
who, when and why."""

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from fovea.errors import DataInvalid, SettingsInvalid
from fovea.model import rollouts, versions
from fovea.model.bundle import ModelBundle, Precision
from fovea.model.classifier import Classifier
from fovea.model.promotions import How, Overtaken, move, promotion_of, this_user
from fovea.model.rollouts import Rollout
from fovea.model.versions import CANDIDATES, Listed
from fovea.stopping import Stopping
from fovea.stores.conditional_puts import require_conditional_puts
from fovea.stores.storage import Folder, open_reachable
from trainer.compare.weighing import Guard, Labelled, weigh
from trainer.config import CanarySettings, PromoteSettings, RollbackSettings
from trainer.images.sources import open_heldout

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Place:
    """Of a version or a candidate."""

    models: str
    version: int | None
    """None of a candidate"""


def promote(settings: PromoteSettings) -> None:
    """`promote`: a version, or a candidate, which becomes the next one, is the latest from here on.

    Raises DataInvalid where --data shows that it is worse, Overtaken where somebody else was faster.
    """
    Stopping()
    uri = settings.bundle.rstrip("/")
    place = _place(uri)
    models, seen = _look(place.models)
    if place.version is not None and _is_promoted(seen, place.version):
        print(f"{uri} is the latest already")
        return
    bundle = _checked(uri, settings)
    why = _weighed(bundle, place, settings) or settings.why
    number = place.version or _publish(bundle, uri, place.models)
    _move(models, seen, number, "promote", why, settings.by)


def rollback(settings: RollbackSettings) -> None:
    """`rollback`: the version that was the latest before, or --to, is the latest again."""
    Stopping()
    uri = settings.models.rstrip("/")
    models, seen = _look(uri)
    order = versions.whole(models, seen.order)
    latest = next(order, None)
    if latest is None:
        raise versions.absent(models, None)
    target = settings.to or next(order, None)
    if target is None:
        raise DataInvalid(f"{uri}: there is no version before {latest}; name one by --to")
    if not versions.is_published(models, target):
        raise versions.absent(models, target)
    if target == latest:
        print(f"{uri}/{target} is the latest already")
        return
    _checked(f"{uri}/{target}", settings)
    _move(models, seen, target, "rollback", settings.why, settings.by)


def canary(settings: CanarySettings) -> None:
    """`canary`: a version, or a candidate as the next one, answers a share of the calls from here on.

    Raises DataInvalid where it is the latest, or is to end and is none; Overtaken where somebody else was
    faster.
    """
    Stopping()
    uri, percent = settings.bundle.rstrip("/"), settings.percent
    place = _place(uri)
    models, seen = _look(place.models)
    before = rollouts.held(models)
    if place.version is not None and place.version == versions.latest(models, seen) and percent:
        raise DataInvalid(f"{uri} is the latest already: there is nothing to try it beside")
    if percent:
        bundle = _checked(uri, settings)
        number = place.version or _publish(bundle, uri, place.models)
    else:
        number = _tried(uri, place, before.rollout)
    who = settings.by or this_user()
    rollout = Rollout(
        version=number,
        percent=percent,
        latest=versions.look(models).standing.number,
        who=who,
        why=settings.why,
        created=datetime.now(UTC),
    )
    rollouts.begin(models, before, rollout)
    share = f"answers {percent:g} % of the calls" if percent else "is no canary any more"
    print(f"{models.uri}: version {number} {share} (by {who}: {settings.why})")


def _tried(uri: str, place: _Place, rollout: Rollout | None) -> int:
    """The version, where it is the one whose rollout can end: another's shall not. Raises DataInvalid."""
    if rollout is None or not rollout.percent:
        raise DataInvalid(f"{uri} is no canary: there is none whose rollout could end")
    if rollout.version != place.version:
        by = f"version {rollout.version} is one, since {rollout.who} had it answer {rollout.percent:g} %"
        raise DataInvalid(f"{uri} is no canary: {by}")
    return rollout.version


def _place(uri: str) -> _Place:
    """Raises SettingsInvalid where it can be neither a version nor a candidate."""
    models, _, name = uri.rpartition("/")
    if re.fullmatch("[1-9][0-9]*", name):
        return _Place(models or ".", int(name))
    above, _, folder = models.rpartition("/")
    if folder == CANDIDATES:
        return _Place(above or ".", None)
    raise SettingsInvalid(
        f"{uri}: neither a version, as models/pets/3, nor a candidate, as models/pets/{CANDIDATES}/NAME"
    )


def _look(uri: str) -> tuple[Folder, Listed]:
    models = open_reachable(uri)
    require_conditional_puts(models)
    return models, versions.look(models)


def _is_promoted(seen: Listed, version: int) -> bool:
    promoted = seen.standing.promotion
    return promoted is not None and promoted.version == version


def _checked(uri: str, settings: PromoteSettings | RollbackSettings | CanarySettings) -> ModelBundle:
    """Its digests and its golden answers: servers would refuse it otherwise. Raises BundleInvalid."""
    bundle = versions.open_bundle(uri, settings.cache_dir)
    precisions: tuple[Precision, ...] = ("fp32", *bundle.contract.variants)
    for precision in precisions:
        Classifier(bundle, "cpu", settings.threads, precision=precision)
        logger.info("the golden check is passed", extra={"bundle": uri, "precision": precision})
    return bundle


def _weighed(bundle: ModelBundle, place: _Place, settings: PromoteSettings) -> str | None:
    """How it compares with the latest, where --data is given. Raises DataInvalid where it is worse."""
    if settings.data is None:
        return None
    known = dict.fromkeys((*bundle.contract.labels, *_labels_of_latest(place, settings)))
    held = open_heldout(settings.data, settings.cache_dir, tuple(known))
    guard = Guard(settings.confidence, settings.guard_class)
    images = Labelled(settings.data, held.samples, settings.max_bad_fraction, settings.cache_dir)
    weighed = weigh(bundle, place.models, images, guard, settings.threads, besides=place.version or 0)
    if weighed.refusal:
        raise DataInvalid(f"{settings.bundle}: not promoted: {weighed.refusal}")
    return f"{settings.why}; {weighed.words}"


def _labels_of_latest(place: _Place, settings: PromoteSettings) -> tuple[str, ...]:
    """A class that the new model lacks is a class of the images all the same."""
    against = versions.latest(open_reachable(place.models), besides=place.version or 0)
    if against is None:
        return ()
    return versions.fetch(place.models, against, settings.cache_dir).contract.labels


def _publish(candidate: ModelBundle, uri: str, models: str) -> int:
    training = {**candidate.contract.training, "copy_of": uri}
    contract = candidate.contract.model_copy(update={"training": training})
    return versions.publish(ModelBundle(candidate.path, contract), models, promotes=False).contract.version


def _move(models: Folder, seen: Listed, version: int, how: How, why: str, who: str | None) -> None:
    before = versions.latest(models, seen)
    if not seen.standing.number:  # else `move` finds out
        now = versions.look(models)
        if (faster := versions.latest(models, now, version)) != versions.latest(models, seen, version):
            raise Overtaken(f"{models.uri}: version {faster} is the latest meanwhile; look and try again")
        seen = now
    promotion = move(models, seen.standing, promotion_of(version, seen.order, how, why, who)).promotion
    by = promotion.who if promotion else ""
    print(f"{models.uri}: latest is version {version}, it was {before or 'none'} ({how} by {by}: {why})")
