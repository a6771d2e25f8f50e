"""How many labels an image has, and where a table has them."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from fovea.model.task import Task
from fovea.printable import printable
from trainer.images.labels import normal_label
from trainer.images.listing import Listing

SEVERAL: Final = "labels"
"""The column of several labels."""
NOT_LABELS: Final = frozenset({"path", "split"})
_FLAGS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "1.0", "true"), True),
    **dict.fromkeys(("0", "0.0", "false"), False),
}


@dataclass(frozen=True)
class Labelling:
    """One label an image, or several and how a table tells them."""

    task: Task = "single"
    separator: str = ";"
    columns: tuple[str, ...] = ()
    """of 0 and 1; none for the column `labels`, or where there is none all that are left"""

    @property
    def is_multi(self) -> bool:
        return self.task == "multi"

    def reader(self, path: Path, names: Sequence[str], group: str | None) -> "SeveralLabels":
        """Of a multi-label table with these columns. Raises DataInvalid where they do not say the labels."""
        header = ",".join(names)[:80]
        if "path" not in names or len(set(names)) != len(names):
            raise DataInvalid(
                f"{path}: its first line should be `path,labels`, `path,labels,split` or path and a column "
                f"of 0 and 1 for each label, not `{header}`"
            )
        if missing := [name for name in self.columns if name not in names]:
            raise DataInvalid(
                f"--label-columns {missing[0]}: {path} has no such column; its first line is `{header}`"
            )
        if not self.columns and SEVERAL in names:
            beside = tuple(n for n in names if n.strip() and n not in NOT_LABELS | {SEVERAL, group})
            return SeveralLabels(path, self.separator, (), beside)
        columns = self.columns or tuple(n for n in names if n not in NOT_LABELS | {group})
        if not columns:
            raise DataInvalid(f"{path}: no column tells labels; its first line is `{header}`")
        if not self.columns and columns == ("label",):
            raise DataInvalid(
                f"{path}: its column `label` has one label an image: --task single; call it `labels` where "
                "there may be several"
            )
        _check_columns(path, columns, header)
        return SeveralLabels(path, self.separator, columns)


def _check_columns(path: Path, columns: Sequence[str], header: str) -> None:
    """Raises DataInvalid where a label would have no name, or two columns."""
    labels = Counter(map(normal_label, columns))
    if "" in labels:
        raise DataInvalid(
            f"{path}: a column without a name is no label; --label-columns A,B,C names those that are; its "
            f"first line is `{header}`"
        )
    if twice := [label for label, count in labels.items() if count > 1]:
        raise DataInvalid(
            f"{path}: the label {printable(twice[0])!r} is told by two columns, --label-columns A,B,C names "
            f"each once; its first line is `{header}`"
        )


ONE_LABEL: Final = Labelling()


@dataclass(frozen=True)
class SeveralLabels:
    """Reads the labels of a table's rows."""

    path: Path
    separator: str
    columns: tuple[str, ...]
    beside: tuple[str, ...] = ()
    """columns that are not read, where the column `labels` is"""

    @property
    def known(self) -> tuple[str, ...]:
        """Labels that the table has whether or not an image has them."""
        return tuple(normal_label(name) for name in self.columns)

    def whole(self, rows: "csv.DictReader[str]") -> Iterator[dict[str, str | None]]:
        """The same rows. Raises DataInvalid where one has fewer cells than the first line or more, for labels
        may be lost then; and at the end where labels are told by columns of 0 and 1 too."""
        flags = set(self.beside)
        for row in rows:
            # A row's surplus cells are those of None; blank ones are a spreadsheet's.
            surplus = any(cell.strip() for cell in row.get(None, ()))
            if surplus or None in row.values():
                hint = (
                    'one with a comma needs quotes, "a,b"'
                    if surplus
                    else "no label is an empty one, `a.jpg,`"
                )
                many = "more" if surplus else "fewer"
                raise DataInvalid(
                    f"{self.path}: line {rows.line_num}: it has {many} cells than the first line; {hint}"
                )
            flags = {name for name in flags if row[name].strip().lower() in _FLAGS}
            yield row
        if flags and rows.line_num > 1:
            raise DataInvalid(
                f"{self.path}: its column {min(flags)!r} is of 0 and 1 beside the column `{SEVERAL}`, and "
                "one of them alone tells labels: --label-columns A,B,C, or leave out columns that tell none"
            )

    def of(self, row: Mapping[str, str | None], line: int) -> tuple[str, ...]:
        """In alphabetical order, each once. Raises DataInvalid, naming the line."""
        if self.columns:
            return tuple(sorted(normal_label(n) for n in self.columns if self._is_set(row[n], n, line)))
        parts = (row[SEVERAL] or "").split(self.separator)
        return tuple(sorted({label for part in parts if (label := normal_label(part))}))

    def _is_set(self, value: str | None, column: str, line: int) -> bool:
        try:
            return _FLAGS[(value or "").strip().lower()]
        except KeyError:
            raise DataInvalid(
                f"{self.path}: line {line}: the column {column!r} should be 0 or 1, not {value!r}; --label-"
                "columns A,B,C names those that are labels"
            ) from None


def joined(labels: Iterable[str]) -> str:
    """Of one image, as one text for people: what `Sample.label` is then."""
    return ";".join(labels) or "no label"


def check_is_set(data: str, listing: Listing) -> None:
    """Raises DataInvalid where no image has any label, or none has one that the table has a column of."""
    found = {label for sample in listing.all() for label in sample.named}
    never = [label for label in listing.labels if label not in found]
    if not found:
        raise DataInvalid(f"{data}: no image has a label")
    if never:
        others = f" and {len(never) - 1} more" if len(never) > 1 else ""
        raise DataInvalid(
            f"{data}: no image has the label {printable(never[0])!r}{others}: nothing can be learnt of it; "
            "--label-columns A,B,C names the columns that are labels"
        )
