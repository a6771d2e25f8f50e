"""Records beside a model's versions: `models/pets/NAME/000001.json`, 000002, ... The highest number holds.

A record is put only where none is yet, and never changed: of two who write at once, one does, and the other
learns of it.
"""

import re
from collections.abc import Iterator
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from fovea.errors import BundleInvalid
from fovea.stores.folder import Folder

R = TypeVar("R", bound=BaseModel)

_NAME: Final = re.compile(r"([0-9]{6,})\.json")


def newest(places: Folder, kind: type[R], what: str, known: tuple[int, R | None]) -> tuple[int, R | None]:
    """Its number and the record; 0 and None where there is none.

    Costs a bucket one listing, and one reading unless the record is `known`. Raises BundleInvalid where it is
    not the record of `what`, Unavailable when it cannot be read.
    """
    number = max(_numbers(places), default=0)
    if not number or number == known[0]:
        return known if number else (0, None)
    return number, _read(places, number, kind, what)


def between(places: Folder, first: int, last: int, kind: type[R], what: str) -> Iterator[R]:
    """Those of these numbers, both ends included, that are there.

    Costs a bucket one listing, and a reading of each; nothing where `last` is before `first`. Raises what
    `newest` does.
    """
    for number in _numbers(places) if first <= last else ():
        if first <= number <= last:
            yield _read(places, number, kind, what)


def put_next(places: Folder, number: int, record: BaseModel) -> bool:
    """Whether it is there now as this number; else another one was faster. Raises Unavailable."""
    return places.put_if_absent(_name(number), record.model_dump_json(indent=2).encode())


def _numbers(places: Folder) -> list[int]:
    return [int(match[1]) for entry in places.entries() if (match := _NAME.fullmatch(entry.key))]


def _read(places: Folder, number: int, kind: type[R], what: str) -> R:
    data = places.read(_name(number))
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BundleInvalid(
            f"{places.uri}/{_name(number)}: not the record of {what}: "
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from error


def _name(number: int) -> str:
    return f"{number:06d}.json"
