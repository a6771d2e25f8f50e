"""Which version is tried beside the latest, and by how many calls: `models/pets/rollouts/000001.json`, ...

The record with the highest number holds, until there is a higher one.
"""

from datetime import datetime
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from fovea.model.promotions import Overtaken
from fovea.model.records import newest, put_next
from fovea.stores.folder import Folder

FOLDER: Final = "rollouts"
"""Beside the versions, as `promotions` is."""


class Rollout(BaseModel):
    """One record. What a newer program writes into it besides is passed over."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    version: int = Field(ge=1)
    """the canary"""
    percent: float = Field(ge=0, le=100)
    """of the calls that name no version, those that it answers; 0: its rollout has ended"""
    latest: int = 0
    """the record of `promotions` that held then: a later one that makes this version the latest ends it"""
    who: str
    """user@host, or as --by says"""
    why: str
    created: datetime


class Held(NamedTuple):
    """What holds: the record's number, and the record; 0 and None where there is none."""

    number: int
    rollout: Rollout | None


def held(models: Folder, known: Held | None = None) -> Held:
    """Costs and raises what `newest` does."""
    return Held(*newest(models.folder(FOLDER), Rollout, "a rollout", known or (0, None)))


def begin(models: Folder, seen: Held, rollout: Rollout) -> Held:
    """Makes the record the one that holds, if `seen` still does. Raises Overtaken, Unavailable."""
    number = seen.number + 1
    if put_next(models.folder(FOLDER), number, rollout):
        return Held(number, rollout)
    raise Overtaken(f"{models.uri}: another rollout has begun meanwhile; look at it and try again")
