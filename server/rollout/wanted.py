"""Which version is to be loaded beside the current one."""

from dataclasses import dataclass
from typing import NamedTuple

from fovea.model import promotions, rollouts
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


class _Read(NamedTuple):
    """What is known of the promotions since a rollout began."""

    rollout: int
    """its record"""
    last: int = 0
    """the promotion that was read last"""
    was_promoted: bool = False


class Wanted:
    """The canary of one model, as the options say, or else the records in its folder."""

    def __init__(self, settings: RolloutOptions, folder: Folder) -> None:
        self._settings = settings
        self._folder = folder
        self._held = Held(0, None)
        self._read = _Read(0)

    def look(self, seen: Listed) -> Rollout | None:
        """May take a while: costs a bucket nothing where nobody has ever begun a rollout,
        and where somebody has, one reading more of each promotion since.

        `seen` is the last look at the folder. Raises BundleInvalid, Unavailable.
        """
        settings = self._settings
        if settings.canary is not None:
            return Rollout(settings.canary, settings.canary_percent)
        if not seen.has_rollouts:
            return None
        self._held = rollouts.held(self._folder, self._held)
        number, record = self._held
        if record is None or not record.percent or self._was_promoted(number, record, seen):
            return None
        return Rollout(record.version, record.percent, number)

    def _was_promoted(self, number: int, record: Record, seen: Listed) -> bool:
        """Since the rollout began. It may have been rolled back since: only the records know."""
        read = self._read if self._read.rollout == number else _Read(number, record.latest)
        newest = seen.standing.number
        was_promoted = read.was_promoted or any(
            promotion.version == record.version
            for promotion in promotions.between(self._folder, read.last, newest)
        )
        self._read = _Read(number, max(read.last, newest), was_promoted)
        return was_promoted
