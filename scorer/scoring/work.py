"""The shards of a run that are not there yet, one after the other."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fovea import tracing
from fovea.errors import DataInvalid
from fovea.model.classifier import CUDA
from fovea.progress import ProgressLog
from fovea.stores.folder import Folder
from scorer.config import WorkSettings
from scorer.files.committed import missing_shards
from scorer.files.folders import open_output
from scorer.files.plan import Plan, read_plan
from scorer.files.rows import ShardCounts
from scorer.options import WorkOptions
from scorer.scoring.bottleneck import advise
from scorer.scoring.capturing import capture_spec_of
from scorer.scoring.pipeline import Resources
from scorer.scoring.shard import ShardSpec, score_shard

logger = logging.getLogger(__name__)


def work(settings: WorkSettings) -> None:
    """Scores this worker's share: the shards s with s = index (modulo completions) that are not there yet."""
    output = open_output(settings.output)
    plan = existing_plan(output, settings.run_id)
    share = [s for s in missing_shards(output, plan) if s % settings.completions == settings.index]
    if not share:
        logger.info("nothing to do: every shard of this worker is there", extra={"run": settings.run_id})
    score_shards(output, plan, share, resources_of(settings))


def existing_plan(output: Folder, run: str) -> Plan:
    """Raises DataInvalid when the run was not planned."""
    plan = read_plan(output, run)
    if plan is None:
        raise DataInvalid(f"{output.uri}: there is no plan of run {run}; `python -m scorer plan` makes it")
    return plan


def score_shards(output: Folder, plan: Plan, missing: Sequence[int], resources: Resources) -> None:
    """Scores these shards one after the other. Raises what `score_shard` does."""
    done = plan.images - sum(plan.shards[index].to_score for index in missing)
    with progress_bar(plan.images, done) as progress:
        for index in missing:
            started = time.perf_counter()
            shard = plan.shards[index]
            spec = ShardSpec(output.uri, plan.spec, shard, resources, capture_spec_of(plan, index))
            with tracing.span("shard", shard=index, images=shard.images, carried=shard.carried):
                counts = score_shard(spec, progress)
            if not has_terminal():  # there the bar says it, and a line of the log would break it
                _log_shard(plan, index, time.perf_counter() - started, counts)


def has_terminal() -> bool:
    return sys.stderr.isatty()


@contextmanager
def progress_bar(images: int, done: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere, between the log's lines for each shard, one every 30 s."""
    if not has_terminal():
        yield ProgressLog("scoring", images, done).advance
        return
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress("scoring", *columns, console=console) as bar:
        task = bar.add_task("scoring", total=images, completed=done, rate="")
        started, scored = time.perf_counter(), 0

        def advance(count: int) -> None:
            nonlocal scored
            scored += count
            rate = scored / (time.perf_counter() - started)
            bar.update(task, advance=count, rate=f"{rate:.0f} images/s")

        yield advance


def _log_shard(plan: Plan, index: int, elapsed_s: float, counts: ShardCounts | None) -> None:
    shard = plan.shards[index]
    what = {"shard": index, "of": len(plan.shards), "images": shard.images, "carried": shard.carried}
    advice = advise(counts.stages, counts.provider == CUDA) if counts and shard.to_score else None
    held_up = {"bottleneck": advice.stage, "knob": advice.knob} if advice else {}
    text = "scored" if counts else "another worker was first"
    logger.info(text, extra={**what, "images_per_s": round(shard.to_score / elapsed_s, 1), **held_up})


def resources_of(settings: WorkOptions) -> Resources:
    return Resources(
        batch_size=settings.batch_size,
        provider=settings.provider,
        threads=settings.threads,
        decode_threads=settings.decode_threads,
        fetch_concurrency=settings.fetch_concurrency,
        max_inflight_bytes=settings.max_inflight_bytes,
        model_cache=settings.model_cache,
    )
