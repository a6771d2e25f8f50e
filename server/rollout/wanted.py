"""Which version is to be loaded beside the current one."""

from dataclasses import dataclass

from server.config import ServeSettings


@dataclass(frozen=True)
class Rollout:
    """A second version, and what it is for."""

    version: int
    canary_percent: float = 0.0
    """Of the calls that name no version, those that it answers."""


def rollout_of(settings: ServeSettings) -> Rollout | None:
    """What the options say."""
    if settings.canary is None:
        return None
    return Rollout(settings.canary, settings.canary_percent)
