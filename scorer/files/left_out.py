"""Files below the source that a run does not score: no images by their names or first bytes."""

from collections.abc import Mapping
from typing import Any

from fovea.images.passed_over import said


def left_out_line(files: int, kinds: Mapping[str, Any]) -> str:
    """`3, not images by --include or first bytes: 2 .mov (a.mov), 1 .aae (a.aae)`.

    Plans made before kinds were counted have none.
    """
    line = f"{files:,}, not images by --include or first bytes"
    return f"{line}: {said(kinds)}" if kinds else line
