"""An ONNX model's graph without its weights: each refers to the bytes that it has in the model's own file.

onnxruntime maps external data. From a file that holds its weights itself it makes two copies of each: one as
it reads the file, one as it builds the session.

The format is that of protobuf messages (protobuf.dev/programming-guides/encoding), of which onnx.proto gives
the numbers of the fields.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

GRAPH: Final = 7
"""In ModelProto."""
INITIALIZER: Final = 5
"""In GraphProto."""
RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 9, 13, 14
"""In TensorProto."""
EXTERNAL: Final = 1
"""A DataLocation."""
KEY, VALUE = 1, 2
"""In StringStringEntryProto."""

VARINT, LENGTH = 0, 2
"""How a field is written; ONNX has no other ones at these levels."""


class _Field(NamedTuple):
    number: int
    start: int
    """where its tag is"""
    value: int
    """where what is in it begins"""
    end: int


def without_weights(model: Path, smallest_bytes: int) -> bytes:
    """The model, to be loaded with its own folder as the one of its external data.

    Weights of fewer than `smallest_bytes`, and those that are not stored as raw bytes, stay in it. Raises
    ValueError when the file is not one that is read to its end here; then whoever runs models can tell why.
    """
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return b"".join(_Referring(data, model.name, smallest_bytes).model())


class _Referring:
    """Parts of the new message, in the order of the old one."""

    def __init__(self, data: mmap.mmap, name: str, smallest_bytes: int) -> None:
        self._data, self._name, self._smallest_bytes = data, name, smallest_bytes

    def model(self) -> Iterator[bytes]:
        for field in _fields(self._data, 0, len(self._data)):
            yield _message(GRAPH, self._graph(field)) if field.number == GRAPH else self._as_it_is(field)

    def _graph(self, graph: _Field) -> Iterator[bytes]:
        for field in _fields(self._data, graph.value, graph.end):
            is_weight = field.number == INITIALIZER
            yield _message(INITIALIZER, self._weight(field)) if is_weight else self._as_it_is(field)

    def _weight(self, weight: _Field) -> Iterator[bytes]:
        for field in _fields(self._data, weight.value, weight.end):
            if field.number == RAW_DATA and field.end - field.value >= self._smallest_bytes:
                yield from self._reference(field)
            else:
                yield self._as_it_is(field)

    def _reference(self, raw: _Field) -> Iterator[bytes]:
        entries = {"location": self._name, "offset": raw.value, "length": raw.end - raw.value}
        for key, value in entries.items():
            yield _message(EXTERNAL_DATA, [_text(KEY, key), _text(VALUE, str(value))])
        yield _varint(DATA_LOCATION << 3 | VARINT) + _varint(EXTERNAL)

    def _as_it_is(self, field: _Field) -> bytes:
        return self._data[field.start : field.end]


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[_Field]:
    """Of the message that lies there. Raises ValueError when it is none."""
    while start < end:
        tag, value = _read_varint(data, start, end)
        kind = tag & 7
        if kind == VARINT:
            _, after = _read_varint(data, value, end)
        elif kind == LENGTH:
            length, value = _read_varint(data, value, end)
            after = value + length
        else:
            raise ValueError(f"byte {start}: no field of a model")
        if after > end:
            raise ValueError(f"byte {start}: a field that is longer than its message")
        yield _Field(tag >> 3, start, value, after)
        start = after


def _read_varint(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    """The number, and where the next thing begins."""
    number = 0
    for at in range(start, min(end, start + 10)):
        number |= (data[at] & 0x7F) << 7 * (at - start)
        if data[at] < 0x80:
            return number, at + 1
    raise ValueError(f"byte {start}: a number without an end")


def _varint(number: int) -> bytes:
    seven_bits = []
    while number >= 0x80:
        seven_bits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*seven_bits, number])


def _message(number: int, parts: Iterator[bytes] | list[bytes]) -> bytes:
    content = b"".join(parts)
    return _varint(number << 3 | LENGTH) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _message(number, [text.encode()])
