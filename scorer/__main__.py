"""python -m scorer run: a label for every image below a folder or a bucket's prefix."""

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fovea import logs, versions
from fovea.bundle import ModelBundle
from fovea.errors import Terminated
from fovea.folder import Folder
from fovea.settings import as_saved, choose_command, load, run
from fovea.storage import LocalFolder, open_folder
from scorer import layout
from scorer.commit import Summary, commit, is_finished, missing_shards, move_latest
from scorer.config import RunSettings
from scorer.plan import Plan, RunSpec, check_same_run, make_plan, read_plan
from scorer.rows import escaped
from scorer.shard import Resources, ShardSpec, load_classifier, score_shard

logger = logging.getLogger("scorer")

COMMANDS = {"run": "plan, score every shard and commit, on this machine"}


def main(arguments: Sequence[str]) -> None:
    _, rest = choose_command(COMMANDS, arguments, "python -m scorer")
    settings = load(RunSettings, rest, "python -m scorer run")
    logs.set_up(settings.log_level, settings.log_format)
    signal.signal(signal.SIGTERM, _terminate)
    score(settings)


def score(settings: RunSettings) -> None:
    """Scores what the run still lacks, commits it and prints what it came to."""
    output = open_folder(settings.output)
    plan = _plan(settings, output)
    if is_finished(output, settings.run_id):
        move_latest(output, plan)
        print(f"run {settings.run_id} is finished already: nothing to do")
        return
    _score_shards(settings, output, plan)
    summary = commit(output, plan, settings.max_bad_fraction)
    print(_report(summary, plan, output))


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Ends the program as Ctrl-C would: what is under way is dropped, what is committed stays."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated("stopped by SIGTERM; run again with the same --run-id to finish")


def _plan(settings: RunSettings, output: Folder) -> Plan:
    """The run's own plan if it has one, else a new one, made only if the model loads and passes its check."""
    plan = read_plan(output, settings.run_id)
    planned_version = plan.spec.model_version if plan else None
    bundle = versions.fetch(settings.models, settings.version or planned_version, settings.model_cache)
    spec = _spec(settings, bundle)
    if plan:
        check_same_run(plan.spec, spec)
        return plan
    load_classifier(spec, _resources(settings))
    plan = make_plan(output, spec, settings.shard_images, as_saved(settings))
    logger.info("planned", extra={"run": spec.run, "images": plan.images, "shards": len(plan.shards)})
    if not plan.images:
        logger.warning("nothing to score: no key below %s matches --include", spec.source)
    return plan


def _spec(settings: RunSettings, bundle: ModelBundle) -> RunSpec:
    return RunSpec(
        run=settings.run_id,
        source=_absolute(settings.source),
        include=settings.include,
        exclude=settings.exclude,
        models=_absolute(settings.models),
        model_name=bundle.contract.name,
        model_version=bundle.contract.version,
        model_digest=bundle.digest,
        preprocess_digest=bundle.contract.preprocess.digest,
        top_k=settings.top_k,
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
    )


def _absolute(uri: str) -> str:
    """The same for the same place, from wherever the program is started."""
    folder = open_folder(uri)
    return str(folder.path.resolve()) if isinstance(folder, LocalFolder) else folder.uri


def _resources(settings: RunSettings) -> Resources:
    return Resources(
        batch_size=settings.batch_size,
        provider=settings.provider,
        threads=settings.threads,
        decode_threads=settings.decode_threads,
        fetch_concurrency=settings.fetch_concurrency,
        max_inflight_bytes=settings.max_inflight_bytes,
        model_cache=settings.model_cache,
    )


def _score_shards(settings: RunSettings, output: Folder, plan: Plan) -> None:
    missing = [plan.shards[index] for index in missing_shards(output, plan)]
    done = plan.images - sum(shard.images for shard in missing)
    with _progress(plan.images, done) as progress:
        for shard in missing:
            started = time.perf_counter()
            spec = ShardSpec(_absolute(settings.output), plan.spec, shard, _resources(settings))
            if not score_shard(spec, progress):
                logger.info("another worker was first", extra={"shard": shard.index})
            rate = shard.images / (time.perf_counter() - started)
            what = {"shard": shard.index, "of": len(plan.shards), "images": shard.images}
            logger.info("scored", extra={**what, "images_per_s": round(rate, 1)})


@contextmanager
def _progress(images: int, done: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere the log's line for each shard has to do."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress("scoring", *columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("scoring", total=images, completed=done, rate="")
        started, scored = time.perf_counter(), 0

        def advance(count: int) -> None:
            nonlocal scored
            scored += count
            rate = scored / (time.perf_counter() - started)
            bar.update(task, advance=count, rate=f"{rate:.0f} images/s")

        yield advance


def _report(summary: Summary, plan: Plan, output: Folder) -> str:
    where = f"{output.uri}/{layout.run_folder(plan.spec.run)}"
    model = f"{plan.spec.model_name} version {plan.spec.model_version}"
    speed = f"{summary.images_per_s:,.1f} images/s in {summary.seconds:.1f} s"
    lines = [
        f"run {plan.spec.run}: {summary.images:,} images by {model}",
        f"  status      {_counts(summary.statuses)}",
        f"  labels      {_counts(summary.labels)}; abstained {summary.abstained:,}",
        f"  speed       {speed}; {summary.bottleneck or 'nothing'} is the bottleneck",
        f"  rows        {where}/{layout.SHARDS}/",
        f"  not ok      {where}/{layout.QUARANTINE}",
        f"  summary     {where}/{layout.SUMMARY}",
    ]
    return escaped("\n".join(lines))


def _counts(counts: dict[str, int], most: int = 8) -> str:
    largest = sorted(counts.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{name} {count:,}" for name, count in largest[:most]) or "none"
    return f"{shown}, and {len(counts) - most} more" if len(counts) > most else shown


if __name__ == "__main__":
    run(lambda: main(sys.argv[1:]))
