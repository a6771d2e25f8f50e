"""JSON that callers send: small enough to be read in the event loop, and of the types that it must have."""

import json
import math
from typing import Any, Final, Never

from server.errors import BodyTooLarge, FieldInvalid
from server.oip.aliases import quoted

MAX_JSON_BYTES: Final = 4 * 1024 * 1024
MAX_JSON_VALUES: Final = 256 * 1024
"""Of a request. To read as many takes tens of milliseconds, in which nobody else is answered; a crop of
224 x 224 pixels has 150,528 numbers."""

_INSTEAD: Final = "send the tensors' data binary, behind the JSON"


def object_of(data: bytes | memoryview) -> dict[str, Any]:
    """The object that the JSON is. Raises FieldInvalid for the field `body`, BodyTooLarge."""
    check_json_size(len(data))
    try:
        text = str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise FieldInvalid("body", f"the JSON is not UTF-8, from byte {error.start} on") from None
    if text.count(",") + text.count("[") + text.count("{") > MAX_JSON_VALUES:
        raise BodyTooLarge(f"a request has at most {MAX_JSON_VALUES} values as JSON; {_INSTEAD}")
    try:
        return an_object(json.loads(text, parse_constant=_refuse_constant), "body")
    except RecursionError:
        raise FieldInvalid("body", "the JSON is nested too deeply") from None
    except ValueError as error:  # also for a number of thousands of digits
        raise FieldInvalid("body", f"the body is not JSON: {error}") from None


def check_json_size(size: int) -> None:
    """Raises BodyTooLarge."""
    if size > MAX_JSON_BYTES:
        raise BodyTooLarge(f"a request has at most {MAX_JSON_BYTES} bytes of JSON, not {size}; {_INSTEAD}")


def an_object(value: object, field: str) -> dict[str, Any]:
    """This and the following raise FieldInvalid where the value is of another type."""
    return value if isinstance(value, dict) else _refuse(field, "an object", value)


def a_list(value: object, field: str) -> list[Any]:
    return value if isinstance(value, list) else _refuse(field, "a list", value)


def a_text(value: object, field: str) -> str:
    if not isinstance(value, str):
        _refuse(field, "text", value)
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a pair, as "\ud800"
        raise FieldInvalid(field, f"{field} is not Unicode") from None
    return value


def a_bool(value: object, field: str) -> bool:
    return value if isinstance(value, bool) else _refuse(field, "true or false", value)


def a_whole_number(value: object, field: str, limit: int) -> int:
    """From -`limit` to below `limit`."""
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(field, "a whole number", value)
    if not -limit <= value < limit:
        raise FieldInvalid(field, f"{field} does not fit into {math.ceil(math.log2(limit))} bits and a sign")
    return value


def _refuse(field: str, what: str, value: object) -> Never:
    raise FieldInvalid(field, f"{field} must be {what}, not {_shown(value)}")


def _shown(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value)) or quoted(str(value)).strip("'")


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"there is no {name}")
