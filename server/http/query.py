"""The options of a classification, as the query of its URL has them."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from aiohttp import web

from fovea.v1 import classify_pb2 as pb
from server.calls.details import FLAGS
from server.errors import FieldInvalid
from server.http.json_bodies import a_text

Reader = Callable[[str, str], Any]
"""Takes an option's name and its value."""

PRIORITIES: Final = {"interactive": pb.PRIORITY_INTERACTIVE, "bulk": pb.PRIORITY_BULK}
_UINT32, _UINT64 = 2**32, 2**64


class Query(NamedTuple):
    """As a ClassifyRequest has them. Whether they suit the model is the service's to say."""

    top_k: int = 0
    min_probability: float = 0.0
    model_version: int = 0
    priority: "pb.Priority.ValueType" = pb.PRIORITY_UNSPECIFIED
    model: str = ""
    wants: int = 0
    """Flags, see `server.compute.wants`."""


_DEFAULT: Final = Query()


def query_of(request: web.BaseRequest) -> Query:
    """Raises FieldInvalid, also for an option that there is not."""
    if not request.query_string:
        return _DEFAULT
    options = _read(request, OPTIONS)
    wants = sum(flag for name, flag in FLAGS.items() if options.pop(name, False))
    return Query(**options, wants=wants)


def refuse_options(request: web.BaseRequest) -> None:
    """Of a call that has none. Raises FieldInvalid."""
    _read(request, {})


def version_and_model_of(request: web.BaseRequest) -> tuple[int, str]:
    """Of a call that has no other option. Raises FieldInvalid."""
    options = _read(request, {name: OPTIONS[name] for name in OF_ANY})
    return options.get("model_version", 0), options.get("model", "")


def _read(request: web.BaseRequest, options: Mapping[str, Reader]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in request.query.items():
        if name not in options:
            known = f", but {', '.join(options)}" if options else "; this call has none"
            raise FieldInvalid(name, f"there is no option {name!r}{known}")
        if name in values:
            raise FieldInvalid(name, f"{name} is there twice")
        values[name] = options[name](name, value)
    return values


def _count(name: str, value: str) -> int:
    return _whole(name, value, _UINT32)


def _version(name: str, value: str) -> int:
    return _whole(name, value, _UINT64)


def _whole(name: str, value: str, limit: int) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 21 and int(value) < limit):
        raise FieldInvalid(name, f"{name} must be a whole number from 0 on, not {value!r}")
    return int(value)


def _share(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise FieldInvalid(name, f"{name} must be a number from 0 to 1, not {value!r}") from None


def _priority(name: str, value: str) -> "pb.Priority.ValueType":
    try:
        return PRIORITIES[value]
    except KeyError:
        raise FieldInvalid(name, f"{name} must be {' or '.join(PRIORITIES)}, not {value!r}") from None


def _yes_or_no(name: str, value: str) -> bool:
    try:
        return {"true": True, "false": False}[value]
    except KeyError:
        raise FieldInvalid(name, f"{name} must be true or false, not {value!r}") from None


def _name(name: str, value: str) -> str:
    return a_text(value, name)


OF_ANY: Final = ("model_version", "model")
"""Options that every call has."""
OPTIONS: Final[dict[str, Reader]] = {
    "top_k": _count,
    "min_probability": _share,
    "model_version": _version,
    "priority": _priority,
    "model": _name,
    **dict.fromkeys(FLAGS, _yes_or_no),
}
"""Of a classification, and what reads each."""
