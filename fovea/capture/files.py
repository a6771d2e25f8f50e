"""Where captures lie in their folder: a file for each window, in a folder for each day."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from fovea.capture.rows import Captured, Window
from fovea.errors import SettingsInvalid
from fovea.stores.extras import is_installed
from fovea.stores.folder import Folder

_TIME: Final = "%Y%m%dT%H%M%SZ"
_KEY: Final = re.compile(
    r"date=(?P<day>\d{4}-\d\d-\d\d)/fovea-capture-(?P<began>\d{8}T\d{6}Z)-[A-Za-z0-9._-]+\.parquet"
)
_DAY: Final = re.compile(r"date=\d{4}-\d\d-\d\d")


def require_pyarrow(option: str) -> None:
    """Raises SettingsInvalid where it is not installed."""
    if not is_installed("pyarrow"):
        raise SettingsInvalid(f"{option}: pyarrow is not installed: pip install 'fovea-vision[capture]'")


def put_window(folder: Folder, source: str, rows: Sequence[Captured], window: Window) -> str:
    """Writes a file whole, if it is absent; returns its key. `source` is whoever captured, and its number.

    Where it is there already it is the same: a name is given once by its source, or again for the same rows.
    Raises Unavailable.
    """
    from fovea.capture.parquet import encode

    key = name_of(window.began, source)
    folder.put_if_absent(key, encode(rows, window))
    return key


def name_of(began: datetime, source: str) -> str:
    """`date=2026-11-30/fovea-capture-20261130T125500Z-SOURCE.parquet`; the days as in Hive's folders."""
    began = began.astimezone(UTC)
    return f"date={began:%Y-%m-%d}/fovea-capture-{began:{_TIME}}-{source}.parquet"


def began_of(key: str) -> datetime | None:
    """When the window began that a file is of; None where the key is not a capture's."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    with suppress(ValueError):  # the thirteenth month
        began = datetime.strptime(found["began"], _TIME).replace(tzinfo=UTC)
        return began if f"{began:%Y-%m-%d}" == found["day"] else None
    return None


def days_of(folder: Folder) -> list[str]:
    """The folders of days, the oldest first. Raises Unavailable."""
    return sorted(name for name in folder.children() if _DAY.fullmatch(name))
