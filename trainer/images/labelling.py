"""How many labels an image has, and where a table has them."""

from collections.abc import Iterable, Mapping, Sequence
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
            return SeveralLabels(path, self.separator, ())
        columns = self.columns or tuple(n for n in names if n not in NOT_LABELS | {group})
        if not columns:
            raise DataInvalid(f"{path}: no column tells labels; its first line is `{header}`")
        if not self.columns and columns == ("label",):
            raise DataInvalid(
                f"{path}: its column `label` has one label an image: --task single; call it `labels` where "
                "there may be several"
            )
        return SeveralLabels(path, self.separator, columns)


ONE_LABEL: Final = Labelling()


@dataclass(frozen=True)
class SeveralLabels:
    """Reads the labels of a table's rows."""

    path: Path
    separator: str
    columns: tuple[str, ...]

    @property
    def known(self) -> tuple[str, ...]:
        """Labels that the table has whether or not an image has them."""
        return tuple(normal_label(name) for name in self.columns)

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
