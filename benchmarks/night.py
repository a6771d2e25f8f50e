"""One step of a night over images that are only names, in a process of its own.

    python -m benchmarks.night plan MODELS OUTPUT night-1 --keys 1000000
    python -m benchmarks.night score MODELS OUTPUT night-1

Planning is all real but for the listing, which is made up. So are the rows of images to be scored; where all
of a shard's rows are carried, the scorer itself copies them, and finds no image if it looks for one.
Prints the seconds and the peak of resident memory, in bytes, as JSON.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fovea.model import versions
from fovea.settings import load
from fovea.stores.folder import Entry, Folder
from fovea.stores.storage import LocalFolder, open_folder
from scorer.committing.commit import finish_run
from scorer.config import RunSettings
from scorer.files import layout
from scorer.files.folders import scratch_folder
from scorer.files.manifest import read_manifest
from scorer.files.plan import Plan, PlannedShard, read_plan
from scorer.files.rows import RowWriter, ShardCounts, StageTime, TopLabels
from scorer.planning.planner import make_plan, spec_of
from scorer.scoring.shard import ShardSpec, score_shard
from scorer.scoring.work import resources_of

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
FOLDERS: Final = 1000


class Names(LocalFolder):
    """An empty folder that lists keys which name nothing."""

    def __init__(self, path: Path, keys: int) -> None:
        super().__init__(path)
        self._keys = keys

    def entries(self) -> Iterator[Entry]:
        for number in range(self._keys):
            key = f"2026/camera-{number * FOLDERS // self._keys:03}/{number:09}.jpg"
            yield Entry(key, 90_000, hashlib.md5(key.encode()).hexdigest(), NOW)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.night", description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["plan", "score"])
    parser.add_argument("models", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("run")
    parser.add_argument("--keys", type=int, default=1_000_000)
    options = parser.parse_args()
    settings = _settings(options.models, options.output, options.run)
    started = time.perf_counter()
    plan = _plan(settings, options.keys) if options.step == "plan" else _score(settings)
    seconds = time.perf_counter() - started
    counts = {"images": plan.images, "carried": plan.carried, "shards": len(plan.shards)}
    print(json.dumps({**counts, "seconds": seconds, "peak_bytes": _peak_bytes()}))


def _settings(models: Path, output: Path, run: str) -> RunSettings:
    empty = output / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    places = [str(empty), "--models", str(models), "--output", str(output), "--run-id", run]
    return load(RunSettings, [*places, "--provider", "cpu", "--threads", "1"], "scorer")


def _plan(settings: RunSettings, keys: int) -> Plan:
    spec = spec_of(settings, versions.fetch(settings.models))
    return make_plan(settings, open_folder(settings.output), spec, Names(Path(settings.source), keys))


def _score(settings: RunSettings) -> Plan:
    output = open_folder(settings.output)
    plan = read_plan(output, settings.run_id)
    assert plan
    for shard in plan.shards:
        if shard.to_score:
            _write_rows(output, plan, shard)
        else:
            score_shard(ShardSpec(settings.output, plan.spec, shard, resources_of(settings)))
    assert finish_run(output, plan, settings)
    return plan


def _write_rows(output: Folder, plan: Plan, shard: PlannedShard) -> None:
    entries = [image.entry for image in read_manifest(output, shard.manifest)]
    outcomes = [TopLabels(("red", "green", "blue"), (0.9, 0.06, 0.04), abstained=False)] * len(entries)
    with scratch_folder() as folder:
        with RowWriter(folder / "rows", plan.spec.row_columns) as writer:
            writer.write(entries, outcomes, NOW)
            writer.write_footer(ShardCounts({"ok": len(entries)}, 1.0, {"compute": StageTime(1.0, 1.0)}))
        run = output.folder(layout.run_folder(plan.spec.run))
        run.put_if_absent(layout.shard_file(shard.index), (folder / "rows").read_bytes())


def _peak_bytes() -> int:
    """Of this program alone: what getrusage says counts the process too that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
