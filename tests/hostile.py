"""Damaged and random image files, thousands, always the same ones: what a server is sent sooner or later.

`tests/odd_images.py` has the files that are only unusual; here they are damaged, and others made up. Decoders
merely refuse these: what would cost one more than that has no place here, see
tests/fovea/images/test_decode_limits.py.
"""

import random
from dataclasses import dataclass
from itertools import permutations

from tests import odd_images
from tests.forged import Made, foreign, lying_structures, random_bodies
from tests.odd_images import Files


@dataclass(frozen=True)
class Case:
    """`kind` says how it was made, `name` from what."""

    kind: str
    name: str
    data: bytes


def corpus(seed: int = 0) -> list[Case]:
    """More than 5,000 cases, of little more than a megabyte at most."""
    chance = random.Random(seed)
    whole = odd_images.collection()
    kinds = {
        "whole": iter(whole.items()),
        "truncated": _truncated(whole, chance),
        "flipped": _flipped(whole, chance),
        "overwritten": _overwritten(whole, chance),
        "cut out": _cut_out(whole, chance),
        "spliced": _spliced(whole, chance),
        "surrounded": _surrounded(whole),
        "random body": random_bodies(chance),
        "lying": lying_structures(),
        "foreign": foreign(),
    }
    return [Case(kind, name, data) for kind, files in kinds.items() for name, data in files]


def sample(cases: list[Case], count: int) -> list[Case]:
    """Some of every kind: all of those that are few, the rest in equal parts."""
    by_kind: dict[str, list[Case]] = {}
    for case in cases:
        by_kind.setdefault(case.kind, []).append(case)
    share = count // len(by_kind)
    return [case for some in by_kind.values() for case in some[:: max(1, len(some) // share)]]


def _truncated(whole: Files, chance: random.Random) -> Made:
    for name, data in whole.items():
        ends = {
            *range(1, 17),
            *(len(data) - n for n in (1, 2, 4, 8)),
            *(chance.randrange(len(data)) for _ in range(16)),
        }
        for end in sorted(ends):
            yield f"{name}[:{end}]", data[:end]


def _flipped(whole: Files, chance: random.Random) -> Made:
    """Half of them in the first 200 bytes, where the structure is."""
    for name, data in whole.items():
        for number in range(40):
            damaged = bytearray(data)
            reach = min(len(data), 200) if number % 2 else len(data)
            for _ in range(1 + number % 8):
                damaged[chance.randrange(reach)] ^= 1 << chance.randrange(8)
            yield f"{name} flip {number}", bytes(damaged)


def _overwritten(whole: Files, chance: random.Random) -> Made:
    """Four bytes somewhere are the least or the largest of numbers."""
    values = (
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\x7f",
        b"\x80\0\0\0",
        b"\0\0\0\x01",
    )
    for name, data in whole.items():
        for number in range(24):
            start = chance.randrange(min(len(data), 400) if number % 2 else len(data))
            value = values[number % len(values)]
            yield f"{name} {value.hex()} at {start}", data[:start] + value + data[start + 4 :]


def _cut_out(whole: Files, chance: random.Random) -> Made:
    """A part is missing, or is there twice."""
    for name, data in whole.items():
        for number in range(12):
            start, end = sorted(chance.sample(range(len(data)), 2))
            yield f"{name} without {start}:{end}", data[:start] + data[end:]
            if number % 3 == 0:
                yield f"{name} twice {start}:{end}", data[:end] + data[start:]


def _spliced(whole: Files, chance: random.Random) -> Made:
    for (first, left), (second, right) in permutations(whole.items(), 2):
        if chance.random() < 0.3:
            cut = chance.random()
            yield f"{first} + {second}", left[: int(len(left) * cut)] + right[int(len(right) * cut) :]


def _surrounded(whole: Files) -> Made:
    """By what is no image, as cut from a larger file."""
    others = {
        "zeros": bytes(64),
        "text": b"a line of text\n",
        "html": b"<!doctype html><title>a page</title>",
        "zip": b"PK\x05\x06" + bytes(18),
    }
    for name, data in whole.items():
        for other, text in others.items():
            yield f"{name} then {other}", data + text
            yield f"{other} then {name}", text + data
