"""The rows of the table, and how they are printed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from benchmarks.measuring import Served

HEAD: Final = "| what | beside | its | this build's | ratio | wanted |\n|---|---|---:|---:|---:|---|"


@dataclass(frozen=True)
class Wanted:
    """A bound, and what has to keep it: the ratio of ours to theirs, or our value itself."""

    sign: Literal["<=", ">="]
    bound: float
    of: Literal["ratio", "value"] = "ratio"

    def text(self, ratio: float, value: float, unit: str) -> str:
        """With what came of it."""
        seen = ratio if self.of == "ratio" else value
        met = seen <= self.bound if self.sign == "<=" else seen >= self.bound
        bound = f"{self.sign} {self.bound:g} {unit if self.of == 'value' else ''}".strip()
        return f"{bound}: {'met' if met else 'missed'}"


@dataclass(frozen=True)
class Row:
    """A number of ours beside one of another build or server."""

    what: str
    beside: str
    theirs: float
    ours: float
    ratio: float
    """The median of the rounds' own ratios, where there are rounds."""
    wanted: Wanted | None = None
    unit: str = ""

    def __str__(self) -> str:
        wanted = self.wanted.text(self.ratio, self.ours, self.unit) if self.wanted else ""
        numbers = " | ".join(f"{_number(value)} {self.unit}".strip() for value in (self.theirs, self.ours))
        ratio = "" if math.isnan(self.ratio) else f"{self.ratio:.2f}"
        return f"| {self.what} | {self.beside} | {numbers} | {ratio} | {wanted} |"


def print_rows(rows: Sequence[Row]) -> None:
    print(f"\n{HEAD}")
    print("\n".join(map(str, rows)), flush=True)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def row(
    what: str,
    beside: str,
    theirs: Sequence[float],
    ours: Sequence[float],
    wanted: Wanted | None = None,
    unit: str = "",
) -> Row:
    """Of the values of interleaved rounds: medians, and the median of their ratios."""
    return Row(what, beside, median(theirs), median(ours), median(_ratios(theirs, ours)), wanted, unit)


def served_row(
    what: str,
    beside: str,
    seen: tuple[Sequence[Served], Sequence[Served]],
    field: str,
    wanted: Wanted | None = None,
    unit: str = "",
) -> Row:
    """As `row`, of a field of what was seen of (them, us)."""
    theirs, ours = ([float(getattr(each, field)) for each in rounds] for rounds in seen)
    return row(what, beside, theirs, ours, wanted, unit)


def _ratios(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    return [b / a if a else float("nan") for a, b in zip(theirs, ours, strict=True)]
