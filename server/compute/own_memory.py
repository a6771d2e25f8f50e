"""What the process that asks takes of memory."""

from pathlib import Path
from typing import Final

_ROLLUP: Final = Path("/proc/self/smaps_rollup")
_FIELD: Final = "Anonymous:"


def own_anonymous_bytes() -> int:
    """Of its own pages, those that were never written to shared with whom it is a fork of; 0 where the system
    does not say."""
    try:
        lines = _ROLLUP.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(_FIELD)), 0)
