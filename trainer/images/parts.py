"""What the parts of a split are called: train, val and test, in the words that people use for them."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

TRAIN: Final = "train"
VAL: Final = "val"
TEST: Final = "test"
UNLABELLED: Final = "unlabelled"

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    TRAIN: ("train", "training"),
    VAL: ("val", "valid", "validation", "validate", "dev"),
    TEST: ("test", "testing", "tests"),
    UNLABELLED: (
        "unlabeled",
        "unlabelled",
        "unlabel",
        "unsup",
        "pred",
        "predict",
        "prediction",
        "predictions",
    ),
}

_PART_OF: Final = {word: part for part, words in WORDS.items() for word in words}
_FILLERS: Final = frozenset(
    {"set", "data", "dataset", "split", "part", "folder", "images", "image", "imgs", "img"}
)
# As in `trainset` and `test2017`.
_JOINED: Final = re.compile(rf"({'|'.join(sorted(_PART_OF, key=len, reverse=True))})(set|data|images)?[0-9]*")


def part_of(name: str) -> str | None:
    """The part that a folder of this name is, or a row of a table names: `Training`, `test_set`, `VALID`."""
    return _part_of(_words(name))


def parts_of(names: Iterable[str]) -> dict[str, str]:
    """Name -> part, of those called as one. What all names share says nothing (`seg_train`, `seg_test`)."""
    words = {name: _words(name) for name in names}
    shared = frozenset.intersection(*map(frozenset, words.values())) if len(words) > 1 else frozenset()
    parts = {
        name: _part_of(own) or _part_of([word for word in own if word not in shared])
        for name, own in words.items()
    }
    return {name: part for name, part in parts.items() if part}


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.casefold())


def _part_of(words: list[str]) -> str | None:
    telling = [word for word in words if word not in _FILLERS and not word.isdecimal()]
    if len(telling) != 1:
        return None
    joined = _JOINED.fullmatch(telling[0])
    return _PART_OF[joined[1]] if joined else None
