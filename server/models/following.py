"""Which version of the models' folder is next: the latest good one, or the pinned one."""

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from fovea.errors import BundleInvalid, FoveaError
from fovea.model import versions
from fovea.model.promotions import Standing
from fovea.model.versions import Listed
from fovea.stores.storage import Entry, open_folder

logger = logging.getLogger(__name__)

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
NOT_LOOKED: Final = Listed((), (), Standing(0, None))


@dataclass(frozen=True)
class Candidate:
    """A version that is worth a try."""

    version: int
    files: tuple[Entry, ...]
    """All of them: it may still be being copied, its bundle.json before the others."""


@dataclass(frozen=True)
class Refusal:
    """Why a version is not served. Holds while its files stay as they are."""

    files: tuple[Entry, ...]
    reason: str
    """For whoever runs the program."""
    public_reason: str
    """To callers."""


class VersionSearch:
    """What is known of the folder from one look to the next."""

    def __init__(
        self, models: str, pinned: int | None, cache: str = "", about: Mapping[str, str] = NOTHING
    ) -> None:
        """Callers do not learn where `models` and `cache` are; the log is told `about` with each line.

        Raises SettingsInvalid for no folder's URI.
        """
        self._about = dict(about)
        self.folder = open_folder(models)
        self.refused: dict[int, Refusal] = {}
        """Those that might be next."""
        self.seen = NOT_LOOKED
        """What the last look saw; where the version is pinned, no other than that."""
        self.has_failed = False
        """The last look met something else than a bad version."""
        self._pinned = pinned
        self._places = [place for place in (self.folder.uri, cache) if place]

    def next(self, current: int, tried: Collection[int]) -> Candidate | None:
        """The latest version that is worth a try. Costs a bucket one listing while nothing is new, two where
        somebody has moved `latest`.

        `current` is 0 where there is none. One that was refused is worth it again when a file has changed.
        """
        self.seen = self._look(current)
        ahead = () if current and self._pinned else self.seen.before(current)
        whole = set()
        for version in versions.whole(self.folder, ahead):
            whole.add(version)
            if version in tried:  # and, it may be, changed already, while it is being copied
                continue
            files = tuple(self.folder.folder(str(version)).entries())
            if version not in self.refused or self.refused[version].files != files:
                return Candidate(version, files)
        self.refused = {version: refusal for version, refusal in self.refused.items() if version in whole}
        return None

    def refuse(self, candidate: Candidate, error: Exception) -> None:
        self.refused[candidate.version] = refusal_of(candidate, error, self._places)

    def warn_of(self, version: int) -> None:
        facts = self._about | {"version": version, "reason": self.refused[version].reason}
        logger.warning("version is refused", extra=facts)

    def fail(self, error: Exception) -> None:
        """The bucket does not answer, or there is a bug. Said once, until a look succeeds."""
        if not self.has_failed:
            unforeseen = None if isinstance(error, FoveaError) else error
            logger.warning(
                "cannot look for versions", extra=self._about | {"reason": str(error)}, exc_info=unforeseen
            )
        self.has_failed = True

    def why_there_is_none(self) -> BundleInvalid:
        if (version := self.hindering(0)) is not None:
            return BundleInvalid(self.refused[version].reason)
        return versions.absent(self.folder, self._pinned)

    def hindering(self, current: int) -> int | None:
        """The version that would be served rather than the current one, were it not refused."""
        return next((version for version in self.seen.before(current) if version in self.refused), None)

    def _look(self, current: int) -> Listed:
        if self._pinned is None:
            return versions.look(self.folder, current, self.seen.standing)
        there = (self._pinned,) if versions.is_published(self.folder, self._pinned) else ()
        return Listed(there, there, Standing(0, None))


def refusal_of(candidate: Candidate, error: Exception, places: Iterable[str]) -> Refusal:
    """`places` are the folders that versions lie in."""
    if not isinstance(error, FoveaError):
        # What is in the message of a runtime's own exception is not known.
        public_reason = "it fails in a way that was not foreseen; the server's log says more"
        return Refusal(candidate.files, f"{type(error).__name__}: {error}", public_reason)
    public_reason = str(error)
    for place in places:  # a version that was copied has its digest behind its number
        folder = rf"{re.escape(place)}/{candidate.version}(-[0-9a-f]+)?(/|: )?"
        public_reason = re.sub(folder, "", public_reason)
    return Refusal(candidate.files, str(error), public_reason)
