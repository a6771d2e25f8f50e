"""Keys as buckets have them, of which some are no path of a file, and some only stand for a folder."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, pairwise
from typing import Final

from fovea.stores.folder import Entry

# What obstore takes for no path, wherever it is told such a key; text with surrogates was no UTF-8.
_NEVER_IN_A_KEY: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_NEVER_A_SEGMENT: Final = frozenset({"", ".", ".."})

WHAT_IS_ODD: Final = "an empty, `.` or `..` segment, a control character, or a / at its end"


def is_odd(key: str) -> bool:
    """Whether it cannot be asked for: obstore would refuse it, or ask for another."""
    return _NEVER_IN_A_KEY.search(key) is not None or not _NEVER_A_SEGMENT.isdisjoint(key.split("/"))


def without_folders(listed: Iterable[Entry]) -> Iterator[Entry]:
    """The objects of a sorted listing that are more than the mark of a folder.

    Consoles make a folder as an object of no bytes, `cats/`. obstore lists it as `cats`: where its own key
    would stand, which may be after `cats.jpg`. One with bytes keeps its key, slash and all, where that can
    be told.
    """
    before = ""
    for entry, following in pairwise(chain(listed, [None])):
        if entry is None:
            return
        key, whole = entry.key, f"{entry.key.removesuffix('/')}/"
        is_out_of_order = key <= before < whole
        is_parent = following is not None and following.key.startswith(whole)
        is_mark = is_out_of_order or key == whole or (is_parent and not entry.size)
        before = whole if is_mark else key
        if not is_mark:
            yield entry
        elif entry.size:
            yield replace(entry, key=whole)
