"""Values that a benchmark takes on its command line."""

import argparse
import os
from pathlib import Path


def positive_int(text: str) -> int:
    """Raises ArgumentTypeError for another, which argparse says in one line."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"should be a whole number from 1 on, not {text!r}")
    return value


def positive_float(text: str) -> float:
    """The same, for a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"should be a number above 0, not {text!r}")
    return value


def program(text: str) -> Path:
    """The same, for a file that can be run; absolute, for it may be run in another folder."""
    path = Path(text).absolute()
    if not os.access(path, os.X_OK) or path.is_dir():
        raise argparse.ArgumentTypeError(f"should be a program, not {text!r}")
    return path
