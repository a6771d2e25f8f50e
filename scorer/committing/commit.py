"""The end of a run: when every shard is there, the files that say what it holds, and that it is whole.

_manifest.json, quarantine.parquet, summary.json and summary.html come first, _SUCCESS after them, and
latest.json last. Whoever is stopped in between starts again from the shards, and ends with the same.
"""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from fovea.errors import DataInvalid
from fovea.model.bundle import BundleContract
from fovea.stores.folder import Folder
from scorer.committing.comparison import BesideLastRun, beside_held_out, read_planned_contract
from scorer.committing.page import summary_page
from scorer.committing.refusals import empty_run, too_far, too_many_bad
from scorer.committing.sample import Sample
from scorer.committing.thumbnails import read_thumbnails
from scorer.committing.totals import Totals
from scorer.committing.verification import refusal_of, verify
from scorer.files import layout
from scorer.files.committed import CommittedPart, check_complete, read_committed
from scorer.files.folders import mapped, scratch_folder
from scorer.files.latest import is_due, move_latest
from scorer.files.plan import Plan
from scorer.files.rows import RowWriter, schema_of
from scorer.files.summary import ModelIdentity, RunSummary, Verification, read_summary
from scorer.options import CommitOptions


def finish_run(output: Folder, plan: Plan, options: CommitOptions) -> RunSummary | None:
    """Adds up the shards, makes the run official, and returns its summary.

    None when that was done before, and latest.json is right. A run that was held back is judged again.
    Raises Unavailable when a shard is missing or the server to verify with is not there, DataInvalid when
    the run is not good enough by the options.
    """
    summary = _finished_summary(output, plan)
    if summary and not is_due(output, plan):
        return None
    if summary is None or _is_outdated(summary, options):
        summary = _commit(output, plan, options)
    if summary.held_back:
        raise DataInvalid(_to_accept(output, plan, summary.held_back))
    move_latest(output, plan)
    return summary


def is_finished(output: Folder, run: str) -> bool:
    return output.exists(f"{layout.run_folder(run)}/{layout.SUCCESS}")


def _finished_summary(output: Folder, plan: Plan) -> RunSummary | None:
    return read_summary(output, plan.spec.run) if is_finished(output, plan.spec.run) else None


def _is_outdated(summary: RunSummary, options: CommitOptions) -> bool:
    """Whether a run that was finished would be told of otherwise by now."""
    return bool(
        summary.refused
        or (options.verify and not summary.verification)
        or summary.held_back != too_far(summary, options.max_drift)
    )


def _commit(output: Folder, plan: Plan, options: CommitOptions) -> RunSummary:
    """Raises DataInvalid for a run that is not accepted: then what a person may look at is written alone."""
    check_complete(output, plan)
    run = output.folder(layout.run_folder(plan.spec.run))
    with scratch_folder() as folder:
        gathered = _gather(output, plan, folder / layout.QUARANTINE, options.verify_images)
        summary = _judged(gathered, output, plan, options)
        page = summary_page(summary, read_thumbnails(plan.spec, gathered.last_run.surest_changes()))
        if not summary.refused:
            run.write(layout.MANIFEST, layout.json_bytes({"files": list(map(asdict, gathered.files))}))
        run.write(layout.QUARANTINE, mapped(gathered.quarantine))
        run.write(layout.SUMMARY, summary.as_json())
        run.write(layout.SUMMARY_PAGE, page)
    if summary.refused:
        raise DataInvalid(f"run {plan.spec.run}: {summary.refused}")
    run.write(layout.SUCCESS, b"")
    return summary


@dataclass(frozen=True)
class _ManifestFile:
    """A shard's file, as _manifest.json lists it."""

    path: str
    rows: int
    sha256: str


@dataclass
class _Gathered:
    """What one pass over the rows gives."""

    quarantine: Path
    last_run: BesideLastRun
    sample: Sample
    totals: Totals = field(default_factory=Totals)
    files: list[_ManifestFile] = field(default_factory=list)

    def add(self, part: CommittedPart) -> pa.Table:
        """Returns the rows that are not ok."""
        self.last_run.add(part)
        self.sample.add(part)
        return self.totals.add(part.rows)


def _gather(output: Folder, plan: Plan, quarantine: Path, sampled: int) -> _Gathered:
    gathered = _Gathered(quarantine, BesideLastRun(output, plan), Sample(plan.spec.run, sampled))
    with RowWriter(quarantine, schema=schema_of(plan.spec)) as writer:
        for shard in read_committed(output, plan):
            gathered.totals.count(shard.file.counts)
            gathered.files.append(_ManifestFile(shard.path, len(shard.keys), shard.sha256))
            for part in shard.parts():
                for batch in gathered.add(part).to_batches():
                    writer.write_batch(batch)
    return gathered


def _judged(gathered: _Gathered, output: Folder, plan: Plan, options: CommitOptions) -> RunSummary:
    """What the run came to, and why it is not accepted, or is held back, if that is so."""
    contract = read_planned_contract(plan.spec)
    refused = too_many_bad(gathered.totals, options.max_bad_fraction)
    if options.max_bad_fraction < 1:
        refused = refused or empty_run(output, plan)
    verification = None
    if options.verify and not refused:
        verification = verify(options.verify, gathered.sample.rows(), plan.spec, contract, options)
        refused = refusal_of(verification)
    summary = _summary(gathered, plan, contract, refused, verification)
    return (
        summary if refused else summary.model_copy(update={"held_back": too_far(summary, options.max_drift)})
    )


def _summary(
    gathered: _Gathered,
    plan: Plan,
    contract: BundleContract | None,
    refused: str | None,
    verification: Verification | None,
) -> RunSummary:
    spec, totals = plan.spec, gathered.totals
    distribution, advice = totals.distribution, totals.advice
    last = gathered.last_run.result(distribution, contract.labels if contract else ())
    return RunSummary(
        run=spec.run,
        source=spec.source,
        model=ModelIdentity(name=spec.model_name, version=spec.model_version, digest=spec.model_digest),
        preprocess_digest=spec.preprocess_digest,
        left_out=plan.left_out,
        left_out_kinds=plan.left_out_kinds,
        previous=plan.previous,
        planned=plan.created.isoformat(),
        finished=datetime.now(UTC).isoformat(),
        refused=refused,
        images=totals.images,
        statuses=dict(totals.statuses.most_common()),
        scored=totals.images - totals.carried,
        carried=totals.carried,
        labels=dict(distribution.labels.most_common()),
        abstained=distribution.abstained,
        unknown=distribution.unknown,
        confidence=distribution.confidence(),
        expected_accuracy=distribution.expected_accuracy(contract.metrics) if contract else None,
        bad_examples={status: tuple(examples) for status, examples in totals.bad_examples.items()},
        seconds=round(totals.seconds, 3),
        images_per_s=round(totals.images_per_s, 1),
        bottleneck=advice.stage if advice else None,
        knob=advice.knob if advice else None,
        stages=totals.stage_summaries(),
        last=last,
        no_last_because=gathered.last_run.why_not,
        held_out=beside_held_out(distribution, contract),
        verification=verification,
        labelled=distribution.labelled_summary(spec.task),
    )


def _to_accept(output: Folder, plan: Plan, held_back: str) -> str:
    page = f"{output.uri}/{layout.run_folder(plan.spec.run)}/{layout.SUMMARY_PAGE}"
    return (
        f"run {plan.spec.run}: {held_back}: look at {page}; to accept it, run again with this --run-id and a "
        "higher --max-drift"
    )
