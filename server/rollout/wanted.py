"""Which version is to be loaded beside the current one."""

from dataclasses import dataclass

from fovea.model import rollouts
from fovea.model.rollouts import Held
from fovea.model.rollouts import Rollout as Record
from fovea.model.versions import Listed
from fovea.stores.folder import Folder
from server.rollout_options import RolloutOptions


@dataclass(frozen=True)
class Rollout:
    """A second version, and how much it has to do."""

    version: int
    percent: float = 0.0
    """Of the calls that name no version, those that a canary answers."""
    number: int = 0
    """Of the record that says so; 0: the options do."""


class Wanted:
    """The canary of one model, as the options say, or else the records in its folder."""

    def __init__(self, settings: RolloutOptions, folder: Folder) -> None:
        self._settings = settings
        self._folder = folder
        self._held = Held(0, None)

    def look(self, seen: Listed) -> Rollout | None:
        """May take a while: costs a bucket nothing where nobody has ever begun a rollout.

        `seen` is the last look at the folder. Raises BundleInvalid, Unavailable.
        """
        settings = self._settings
        if settings.canary is not None:
            return Rollout(settings.canary, settings.canary_percent)
        if not seen.has_rollouts:
            return None
        self._held = rollouts.held(self._folder, self._held)
        number, record = self._held
        if record is None or not record.percent or _was_promoted(record, seen):
            return None
        return Rollout(record.version, record.percent, number)


def _was_promoted(record: Record, seen: Listed) -> bool:
    """Since the rollout began; it may not be the latest any more."""
    return seen.standing.number > record.latest and record.version in seen.order
