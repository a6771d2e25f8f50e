"""What a person sees of a run: the progress bar, and at the end what it came to."""

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fovea.folder import Folder
from scorer import layout
from scorer.commit import Summary
from scorer.plan import Plan
from scorer.rows import escaped


def has_terminal() -> bool:
    return sys.stderr.isatty()


@contextmanager
def progress_bar(images: int, done: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere the log's line for each shard has to do."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress("scoring", *columns, console=console, disable=not has_terminal()) as bar:
        task = bar.add_task("scoring", total=images, completed=done, rate="")
        started, scored = time.perf_counter(), 0

        def advance(count: int) -> None:
            nonlocal scored
            scored += count
            rate = scored / (time.perf_counter() - started)
            bar.update(task, advance=count, rate=f"{rate:.0f} images/s")

        yield advance


def report(summary: Summary, plan: Plan, output: Folder) -> str:
    where = f"{output.uri}/{layout.run_folder(plan.spec.run)}"
    model = f"{plan.spec.model_name} version {plan.spec.model_version}"
    left_out = f"  left out    {plan.left_out:,} whose names --include does not match"
    speed = f"  speed       {summary.images_per_s:,.1f} images/s in {summary.seconds:.1f} s"
    lines = [
        f"run {plan.spec.run}: {summary.images:,} images by {model}",
        f"  status      {_counts(summary.statuses)}",
        *([f"  carried     {_carried(summary.carried, plan)}"] if summary.carried else []),
        f"  labels      {_counts(summary.labels)}; abstained {summary.abstained:,}",
        *([left_out] if plan.left_out else []),
        f"{speed}; {summary.bottleneck} is the bottleneck" if summary.bottleneck else speed,
        f"  rows        {where}/{layout.SHARDS}/",
        *([f"  not ok      {where}/{layout.QUARANTINE}"] if summary.bad_images else []),
        f"  summary     {where}/{layout.SUMMARY}",
    ]
    return escaped("\n".join(lines))


def plan_report(plan: Plan, output: Folder) -> str:
    spec = plan.spec
    size_bytes = sum(shard.size_bytes for shard in plan.shards)
    fetch_bytes = sum(shard.fetch_bytes for shard in plan.shards)
    left_out = f"  left out    {plan.left_out:,} whose names --include does not match"
    options = shlex.join(["--output", output.uri, "--run-id", spec.run])
    lines = [
        f"run {spec.run}: planned, with {spec.model_name} version {spec.model_version}",
        f"  images      {plan.images:,} ({decimal(size_bytes)}) in {spec.keys or spec.source}",
        f"  carried     {_carried(plan.carried, plan)}",
        f"  to score    {plan.images - plan.carried:,} ({decimal(fetch_bytes)} to fetch)",
        *([left_out] if plan.left_out else []),
        f"  shards      {len(plan.shards):,}",
        f"  plan        {output.uri}/{layout.plan_folder(spec.run)}/{layout.PLAN}",
        f"next: python -m scorer work {options}",
        f"then: python -m scorer commit {options}",
    ]
    return escaped("\n".join(lines))


def _carried(carried: int, plan: Plan) -> str:
    return f"{carried:,} from run {plan.previous}" if carried else "none"


def _counts(counts: dict[str, int], most: int = 8) -> str:
    largest = sorted(counts.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{name} {count:,}" for name, count in largest[:most]) or "none"
    return f"{shown}, and {len(counts) - most} more" if len(counts) > most else shown
