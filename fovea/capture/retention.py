"""Captures are kept for so long, and no longer."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from fovea.capture.files import began_of, days_of
from fovea.stores.folder import Folder

MAX_FILES: Final = 1000
"""That one look removes."""


def remove_older(
    folder: Folder, than: datetime, is_over: Callable[[], bool] = lambda: False, most: int = MAX_FILES
) -> int:
    """Removes capture files of windows that began before `than` (aware), the oldest first; returns how many.

    By the time in their names: a store's own of an object is when it was copied there. What is not named as a
    capture is left alone. `is_over` is asked before each file. Raises Unavailable.
    """
    removed = 0
    for day in days_of(folder):
        if day > f"date={than:%Y-%m-%d}":
            break
        for entry in folder.folder(day).entries():
            key = f"{day}/{entry.key}"
            began = began_of(key)
            if began is None or began >= than:
                continue
            if removed == most or is_over():
                return removed
            folder.remove(key)
            removed += 1
    return removed
