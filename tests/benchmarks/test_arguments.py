import argparse
import sys
from pathlib import Path

import pytest

from benchmarks.arguments import positive_float, positive_int, program


def test_what_is_no_positive_number_is_refused_in_words() -> None:
    assert (positive_int("3"), positive_float("0.5")) == (3, 0.5)
    for text in ("0", "-1", "1.5", "x", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="should be a whole number from 1 on"):
            positive_int(text)
    for text in ("0", "-0.1", "nan", "inf", "x"):
        with pytest.raises(argparse.ArgumentTypeError, match="should be a number above 0"):
            positive_float(text)


def test_what_cannot_be_run_is_no_program(tmp_path: Path) -> None:
    assert program(sys.executable) == Path(sys.executable)
    for text in (str(tmp_path), str(tmp_path / "none"), ""):
        with pytest.raises(argparse.ArgumentTypeError, match="should be a program"):
            program(text)
