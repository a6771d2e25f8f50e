"""A plan is made: the listing, shard by shard, and plan.json, which everybody reads.

Each shard has a manifest file of its own, so neither planning nor scoring holds more than one shard's keys.
"""

import fnmatch
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from fovea.errors import DataInvalid
from fovea.folder import Entry, Folder
from scorer import layout
from scorer.manifest import PlannedImage, write_manifest
from scorer.plan import Plan, PlannedShard, RunSpec, check_same_run, read_plan
from scorer.source import open_source


def make_plan(output: Folder, spec: RunSpec, shard_images: int, settings: dict[str, Any]) -> Plan:
    """Lists the source and writes manifests and plan.json; returns the plan that holds.

    If another planner was first with this run, its plan holds. Raises DataInvalid when the source is a local
    folder that does not exist, Unavailable when a store does not answer.
    """
    chosen = _Chosen(open_source(spec.source).entries(), spec)
    shards = tuple(_write_manifests(output, spec.run, iter(chosen), shard_images))
    plan = Plan(
        created=datetime.now(UTC), spec=spec, shards=shards, left_out=chosen.left_out, settings=settings
    )
    path = f"{layout.plan_folder(spec.run)}/{layout.PLAN}"
    if output.put_if_absent(path, plan.model_dump_json(indent=2).encode() + b"\n"):
        return plan
    winner = read_plan(output, spec.run)
    if winner is None:
        raise DataInvalid(f"{output.uri}/{path}: it was there a moment ago, and is gone; run again")
    check_same_run(winner.spec, spec)
    return winner


@dataclass
class _Chosen:
    """The entries that the run scores; when they are through, `left_out` says how many are no images."""

    entries: Iterable[Entry]
    spec: RunSpec
    left_out: int = 0

    def __iter__(self) -> Iterator[Entry]:
        included, excluded = _pattern(self.spec.include), _pattern(self.spec.exclude)
        for entry in self.entries:
            if not included.match(entry.key):
                self.left_out += 1
            elif not excluded.match(entry.key):
                yield entry


def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    """Matches what one of the globs matches, in either case; without a glob, nothing."""
    return re.compile("|".join(map(fnmatch.translate, globs)) or "(?!)", re.IGNORECASE)


def _write_manifests(
    output: Folder, run: str, entries: Iterator[Entry], shard_images: int
) -> Iterator[PlannedShard]:
    # Two planners of one run must not write over each other's manifests: plan.json says whose are right.
    planner = secrets.token_hex(4)
    for index, shard in enumerate(_parts(entries, shard_images)):
        path = f"{layout.plan_folder(run)}/manifest-{index:05}-{planner}.parquet"
        write_manifest(output, path, (PlannedImage(entry, carried=False) for entry in shard))
        size_bytes = sum(entry.size for entry in shard)
        yield PlannedShard(index=index, manifest=path, images=len(shard), size_bytes=size_bytes)


def _parts(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    """At least one, so that a run of nothing still leaves a file that says so."""
    part = list(islice(entries, size))
    yield part
    while len(part) == size and (part := list(islice(entries, size))):
        yield part
