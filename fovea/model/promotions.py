"""Which version is the latest, where somebody has said so: `models/pets/promotions/000001.json`, 000002, ...

Where there is none, the highest version is the latest, and versions that come make themselves so. From the
first record on, none does without one.
"""

import getpass
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from fovea.errors import Unavailable
from fovea.model import records
from fovea.model.records import newest, put_next
from fovea.stores.folder import Folder

FOLDER: Final = "promotions"
"""Beside the versions. It is no number, so that who knows no promotions passes it over."""
MOST_EARLIER: Final = 16
"""Versions that a record remembers of those before."""

How = Literal["publish", "promote", "rollback"]


class Promotion(BaseModel):
    """One record. What a newer program writes into it besides is passed over."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    version: int = Field(ge=1)
    """the latest from here on"""
    earlier: tuple[int, ...] = ()
    """the one before it, and so on: what takes its place where it is bad, gone or rolled back"""
    how: How
    who: str
    """user@host, or as --by says"""
    why: str
    created: datetime


class Standing(NamedTuple):
    """What holds: the record's number, and the record; 0 and None where there is none."""

    number: int
    promotion: Promotion | None


class Overtaken(Unavailable):
    """Somebody else has moved `latest` meanwhile."""


def standing(models: Folder, known: Standing | None = None) -> Standing:
    """Costs a bucket one listing, and one reading unless the record is `known`.

    Raises BundleInvalid where the record is none, Unavailable when it cannot be read.
    """
    return Standing(*newest(models.folder(FOLDER), Promotion, "a promotion", known or (0, None)))


def between(models: Folder, after: int, last: int) -> Iterator[Promotion]:
    """The records that came after one, as far as the `last`. Costs a bucket one listing, and a reading of
    each, where there are any. Raises what `standing` does.
    """
    return records.between(models.folder(FOLDER), after + 1, last, Promotion, "a promotion")


def move(models: Folder, seen: Standing, promotion: Promotion) -> Standing:
    """Makes the record the one that holds, if `seen` still does. Raises Overtaken, Unavailable."""
    number = seen.number + 1
    if put_next(models.folder(FOLDER), number, promotion):
        return Standing(number, promotion)
    now = standing(models)
    by = f"version {now.promotion.version}, by {now.promotion.who}" if now.promotion else "another version"
    raise Overtaken(f"{models.uri}: latest was moved meanwhile, to {by}; look at it and try again")


def promotion_of(
    version: int, order: tuple[int, ...], how: How, why: str, who: str | None = None
) -> Promotion:
    """`order` is what `latest` was until now, and the versions before it, as `versions.order` has them.

    Rolled back to one of them, those before it are left; else all are.
    """
    if how == "rollback" and version in order:
        earlier = order[order.index(version) + 1 :]
    else:
        earlier = tuple(number for number in order if number != version)
    return Promotion(
        version=version,
        earlier=earlier[:MOST_EARLIER],
        how=how,
        who=who or this_user(),
        why=why,
        created=datetime.now(UTC),
    )


def this_user() -> str:
    """user@host. A container's user may have a number and no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
