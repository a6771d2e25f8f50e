"""The last run: the one that latest.json names, as far as another one can be compared with it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from fovea.errors import DataInvalid, ObjectMissing
from fovea.model.task import Task
from fovea.stores.folder import Folder
from scorer.committing.changes import IMAGE, block_of
from scorer.committing.class_distribution import ClassDistribution
from scorer.committing.multi_label import COLUMNS as OF_LABELS
from scorer.files import layout
from scorer.files.committed import keys_in_rows
from scorer.files.latest import read_latest
from scorer.files.manifest import read_keys
from scorer.files.plan import Plan, read_plan
from scorer.files.rows import ShardFile
from scorer.files.summary import ModelIdentity

_COLUMNS: Final[Mapping[Task, frozenset[str]]] = {
    "single": frozenset({*IMAGE, "label", "probability", "abstained"}),
    "multi": frozenset({*IMAGE, *OF_LABELS}),
}
_MAYBE_NOT_UTF8: Final = r"\\x[89a-f][0-9a-f]"
"""A key that shows this may stand for other bytes, which its file's order is by."""


@dataclass(frozen=True)
class LastRun:
    """A finished run over the same source."""

    output: Folder
    run: str
    model: ModelIdentity | None
    """As far as its summary tells, as the next."""
    images_per_s: float | None
    files: tuple[str, ...]
    """Its shards, below its folder."""
    task: Task = "single"

    def blocks(self, distribution: ClassDistribution) -> Iterator[pa.Table]:
        """Its rows for `ChangeCounter`, some at a time, added to the distribution too. Raises DataInvalid."""
        folder = self.output.folder(layout.run_folder(self.run))
        for index, path in enumerate(self.files):
            file, done = ShardFile.open(folder.read(path), f"{folder.uri}/{path}"), 0
            columns = _COLUMNS[self.task]
            if lacking := columns.difference(file.file.schema_arrow.names):
                raise DataInvalid(f"{file.where}: it has no column {', '.join(sorted(lacking))}")
            for rows in file.parts(sorted(columns)):
                distribution.add(rows)
                yield block_of(self._keys(index, done, rows["key"].combine_chunks()), rows)
                done += rows.num_rows

    def _keys(self, shard: int, start: int, keys: pa.StringArray) -> pa.BinaryArray:
        """Of a shard's rows from `start` on, as the store knows them."""
        if not pc.any(pc.match_substring_regex(keys, _MAYBE_NOT_UTF8)).as_py():
            return keys.cast(pa.binary())
        if self._plan:
            manifest = self._plan.shards[shard].manifest
            planned = read_keys(self.output, manifest).slice(start, len(keys))
            if keys_in_rows(planned).equals(keys):
                return planned
        return keys.cast(pa.binary())

    @cached_property
    def _plan(self) -> Plan | None:
        return read_plan(self.output, self.run)


def find_last_run(output: Folder, plan: Plan) -> LastRun | str:
    """The run that this one is compared with, or in words why there is none."""
    latest = read_latest(output)
    if latest is None:
        return "no run was finished before this one"
    if latest.run == plan.spec.run:
        return "latest.json names this run already"
    run = output.folder(layout.run_folder(latest.run))
    try:
        summary, manifest = (json.loads(run.read(name)) for name in (layout.SUMMARY, layout.MANIFEST))
        files = tuple(str(file["path"]) for file in manifest["files"])
        source = summary["source"]
    except ObjectMissing:
        return f"the last run, {latest.run}, is not there any more"
    except (ValueError, KeyError, TypeError) as error:
        return f"the last run, {latest.run}, cannot be understood: {type(error).__name__}: {error}"
    if source != plan.spec.source:
        return f"the last run, {latest.run}, is of another source: {source}"
    if (task := "multi" if summary.get("labelled") else "single") != plan.spec.task:
        labels = "any number of labels" if task == "multi" else "one label"
        return f"the last run, {latest.run}, gives an image {labels}"
    there = {entry.key for entry in run.folder(layout.SHARDS).entries()}
    if not {file.removeprefix(f"{layout.SHARDS}/") for file in files} <= there:
        return f"the rows of the last run, {latest.run}, are not all there any more"
    model, images_per_s = _model_in(summary), _number_or_none(summary.get("images_per_s"))
    return LastRun(output, latest.run, model, images_per_s, files, plan.spec.task)


def _model_in(summary: dict[str, object]) -> ModelIdentity | None:
    try:
        return ModelIdentity.model_validate(summary.get("model"))
    except ValidationError:
        return None


def _number_or_none(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
