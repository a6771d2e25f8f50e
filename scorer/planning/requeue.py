"""A run that tries the bad images of another once more: what was ok there is carried, the rest looked up."""

from collections.abc import Iterator
from contextlib import closing
from typing import Final

from fovea.errors import SettingsInvalid
from fovea.stores.folder import Folder
from scorer.files.manifest import PlannedImage
from scorer.files.plan import RunSpec, option_of, value_text
from scorer.options import PlanOptions
from scorer.planning.earlier import MUST_BE_SAME, EarlierRun
from scorer.planning.keys import look_up

_SAME: Final = (
    "source",
    "keys",
    "include",
    "exclude",
    "top_k",
    "label_set_quantile",
    "distances",
    "embeddings",
)
_LIMITS: Final = ("max_image_bytes", "max_image_pixels")


def requeued_spec(settings: PlanOptions, asked: RunSpec, earlier: RunSpec) -> RunSpec:
    """What is to be scored is what the earlier run did; only the limits may be raised.

    Raises SettingsInvalid for a setting, given by the user, that is another than the earlier run's.
    """
    given = settings.model_fields_set
    for name in _SAME:
        if ("label_sets" if name == "label_set_quantile" else name) in given and getattr(
            asked, name
        ) != getattr(earlier, name):
            raise _different(earlier, name, getattr(asked, name), "leave it out")
    for name in _LIMITS:
        if name in given and getattr(asked, name) < getattr(earlier, name):
            raise _different(earlier, name, getattr(asked, name), "its good rows would not hold with less")
    if any(getattr(asked, name) != getattr(earlier, name) for name in MUST_BE_SAME if "digest" in name):
        wrong = f"version {asked.model_version} (digest {asked.model_digest[:12]})"
        right = f"version {earlier.model_version} (digest {earlier.model_digest[:12]})"
        raise SettingsInvalid(
            f"--requeue {earlier.run}: its rows are by model {earlier.model_name} {right}, not {wrong}; "
            "another model's run is one of its own, without --requeue"
        )
    unchanged = {
        name: getattr(earlier, name) for name in (*_SAME, *(name for name in _LIMITS if name not in given))
    }
    unchanged["earlier_image_path"] = earlier.earlier_image_path  # of the rows that it carried itself
    if asked.image_path != earlier.image_path:  # as where a decoder was installed for what had failed
        unchanged["earlier_image_path"] = earlier.image_path or "unknown"
    return asked.model_copy(update=unchanged)


def requeued_images(earlier: EarlierRun, source: Folder) -> Iterator[PlannedImage]:
    """Every image of the earlier run, sorted by key.

    Its rows are read twice, once ahead for the lookups, so that many of these are under way at a time.
    Raises DataInvalid when a file of the earlier run is damaged or gone, Unavailable when a store is.
    """
    bad = (image.entry.key for image in earlier.images() if image.status != "ok")
    with closing(look_up(source, bad)) as entries:
        for image in earlier.images():
            if image.status == "ok":
                yield PlannedImage(image.entry, image.where)
            else:
                yield PlannedImage(next(entries))


def _different(earlier: RunSpec, name: str, value: object, advice: str) -> SettingsInvalid:
    planned = f"{option_of(name)} {value_text(getattr(earlier, name))}"
    return SettingsInvalid(
        f"--requeue {earlier.run}: it was planned with {planned}, not {value_text(value)}; {advice}"
    )
