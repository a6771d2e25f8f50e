"""report.html: what happened in training, in one file for the people who decide whether to ship."""

from trainer.report.page import Evidence, read_decision, render_report
from trainer.report.released import ReleasedFile, ReleasedFiles, describe_files

__all__ = [
    "Evidence",
    "ReleasedFile",
    "ReleasedFiles",
    "describe_files",
    "read_decision",
    "render_report",
]
