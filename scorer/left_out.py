"""Files below the source that a run does not score, for their names are no images'."""

from collections.abc import Mapping
from typing import Any

from fovea.passed_over import said


def left_out_line(files: int, kinds: Mapping[str, Any]) -> str:
    """`3, which --include does not match: 2 .mov (a.mov), 1 .aae (a.aae)`. Plans made before kinds were
    counted have none."""
    line = f"{files:,}, which --include does not match"
    return f"{line}: {said(kinds)}" if kinds else line
