"""Which files are images, by their names: one rule for training and for scoring."""

import re
from typing import Final

from fovea.images.formats import IMAGE_SUFFIXES

IMAGE_GLOBS: Final = tuple(f"*.{suffix}" for suffix in IMAGE_SUFFIXES)

LITTER: Final = "hidden or system files"
"""The kind of what systems leave beside images."""
NO_ENDING: Final = "without an ending"

_LITTER: Final = frozenset(
    {
        *("__macosx", "icon\r"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("@eadir", "#recycle", "lost+found"),
    }
)
# A longer one is a part of a sentence.
_ENDING: Final = re.compile(r"[^/]\.([^./\s]{1,12})\Z")


def is_image_name(key: str) -> bool:
    """Whether it ends in one of IMAGE_SUFFIXES, in either case, and no part of it is litter."""
    return ending(key) in IMAGE_SUFFIXES and not is_litter(key)


def is_decided_by_bytes(key: str) -> bool:
    """Whether it has no ending and no part of it is litter: then `kinds.begins_as_image` decides."""
    return kind_of(key) == NO_ENDING


def is_litter(key: str) -> bool:
    """Whether a part of the path is hidden (`._cat.jpg`, `.thumbs/cat.jpg`) or known to be left behind by a
    system (`__MACOSX/cat.jpg`, `Thumbs.db`)."""
    return any(part.startswith(".") or part.casefold() in _LITTER for part in key.split("/"))


def ending(key: str) -> str:
    """In lower case, without the dot; empty where there is none."""
    match = _ENDING.search(key)
    return match[1].lower() if match else ""


def kind_of(key: str) -> str:
    """What a file that is not taken counts as: LITTER, its ending (`.mov`), or NO_ENDING."""
    if is_litter(key):
        return LITTER
    return f".{ending(key)}" if ending(key) else NO_ENDING
