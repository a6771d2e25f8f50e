"""The end of a run: when every shard is there, the files that say what it holds, and that it is whole.

_manifest.json, quarantine.parquet, summary.json and summary.html come first, _SUCCESS after them, and
latest.json last. Whoever is stopped in between starts again from the shards, and ends with the same.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fovea.errors import DataInvalid
from fovea.stores.folder import Folder
from scorer.committing.comparison import WithLastRun, read_planned_contract, with_held_out
from scorer.committing.drift import KINDS
from scorer.committing.empty_run import empty_run_refusal
from scorer.committing.page import summary_page
from scorer.committing.sample import Sample
from scorer.committing.summary import Summary, about
from scorer.committing.thumbnails import read_thumbnails
from scorer.committing.verification import verify
from scorer.files import layout
from scorer.files.committed import CommittedPart, check_complete, read_committed
from scorer.files.folders import mapped, scratch_folder
from scorer.files.latest import is_due, move_latest
from scorer.files.plan import Plan
from scorer.files.rows import RowWriter
from scorer.options import CommitOptions

TOO_FAR: Final = {
    "classes": "its classes are",
    "confidence": "the probabilities of its best labels are",
    "abstentions": "its share of abstentions is",
}


def finish_run(output: Folder, plan: Plan, options: CommitOptions) -> dict[str, Any] | None:
    """Adds up the shards, makes the run official, and returns the summary as summary.json has it.

    None when that was done before, and latest.json is right. A run that was held back is judged again.
    Raises Unavailable when a shard is missing or the server to verify with is not there, DataInvalid when
    the run is not good enough by the options.
    """
    summary = _finished_summary(output, plan)
    if summary and not is_due(output, plan):
        return None
    if summary is None or _is_outdated(summary, options):
        summary = _commit(output, plan, options)
    if summary["held_back"]:
        raise DataInvalid(_to_accept(output, plan, summary["held_back"]))
    move_latest(output, plan)
    return summary


def is_finished(output: Folder, run: str) -> bool:
    return output.exists(f"{layout.run_folder(run)}/{layout.SUCCESS}")


def _finished_summary(output: Folder, plan: Plan) -> dict[str, Any] | None:
    if not is_finished(output, plan.spec.run):
        return None
    path = f"{layout.run_folder(plan.spec.run)}/{layout.SUMMARY}"
    try:
        summary: dict[str, Any] = json.loads(output.read(path))
    except ValueError as error:
        raise DataInvalid(f"{output.uri}/{path}: not a run's summary: {error}") from error
    return summary


def _is_outdated(summary: dict[str, Any], options: CommitOptions) -> bool:
    """Whether a run that was finished would be told of otherwise by now."""
    return bool(
        summary["refused"]
        or (options.verify and not summary["verification"])
        or summary.get("held_back") != _too_far(summary, options.max_drift)
    )


def _commit(output: Folder, plan: Plan, options: CommitOptions) -> dict[str, Any]:
    """Raises DataInvalid for a run that is not accepted: then what a person may look at is written alone."""
    check_complete(output, plan)
    run = output.folder(layout.run_folder(plan.spec.run))
    with scratch_folder() as folder:
        gathered = _gather(output, plan, folder / layout.QUARANTINE, options.verify_images)
        summary = {**about(plan), **_judged(gathered, output, plan, options)}
        summary["held_back"] = None if summary["refused"] else _too_far(summary, options.max_drift)
        page = summary_page(summary, read_thumbnails(plan.spec, gathered.with_last_run.surest_changes()))
        if not summary["refused"]:
            run.write(layout.MANIFEST, layout.json_bytes({"files": gathered.files}))
        run.write(layout.QUARANTINE, mapped(gathered.quarantine))
        run.write(layout.SUMMARY, layout.json_bytes(summary))
        run.write(layout.SUMMARY_PAGE, page)
    if summary["refused"]:
        raise DataInvalid(f"run {plan.spec.run}: {summary['refused']}")
    run.write(layout.SUCCESS, b"")
    return summary


@dataclass
class _Gathered:
    """What one pass over the rows gives."""

    quarantine: Path
    with_last_run: WithLastRun
    sample: Sample
    summary: Summary = field(default_factory=Summary)
    files: list[dict[str, object]] = field(default_factory=list)

    def add(self, part: CommittedPart) -> pa.Table:
        """Returns the rows that are not ok."""
        self.with_last_run.add(part)
        self.sample.add(part)
        return self.summary.add(part.rows)


def _gather(output: Folder, plan: Plan, quarantine: Path, sampled: int) -> _Gathered:
    gathered = _Gathered(quarantine, WithLastRun(output, plan), Sample(plan.spec.run, sampled))
    with RowWriter(quarantine) as writer:
        for shard in read_committed(output, plan):
            gathered.summary.count(shard.file.counts)
            entry = {"path": shard.path, "rows": len(shard.keys), "sha256": shard.sha256}
            gathered.files.append(entry)
            for part in shard.parts():
                for batch in gathered.add(part).to_batches():
                    writer.write_batch(batch)
    return gathered


def _judged(gathered: _Gathered, output: Folder, plan: Plan, options: CommitOptions) -> dict[str, Any]:
    """What the run came to, and in `refused` why it is not accepted, if it is not."""
    contract, distribution = read_planned_contract(plan.spec), gathered.summary.distribution
    refused = _too_many_bad(gathered.summary, options.max_bad_fraction)
    if options.max_bad_fraction < 1:
        refused = refused or empty_run_refusal(output, plan)
    verification = None
    if options.verify and not refused:
        verification = verify(options.verify, gathered.sample.rows(), plan.spec, contract, options)
        refused = verification.refusal
    return {
        "refused": refused,
        **gathered.summary.as_json(),
        **gathered.with_last_run.as_json(distribution, contract.labels if contract else ()),
        "held_out": with_held_out(distribution, contract),
        "verification": verification.as_json() if verification else None,
    }


def _too_many_bad(summary: Summary, max_bad_fraction: float) -> str | None:
    if summary.bad_images <= max_bad_fraction * summary.images:
        return None
    bad = ", ".join(f"{count} {status}" for status, count in summary.statuses.most_common() if status != "ok")
    return (
        f"{summary.bad_images} of {summary.images} images are not ok ({bad}), more than --max-bad-fraction "
        f"{max_bad_fraction:g}; its {layout.QUARANTINE} and {layout.SUMMARY_PAGE} show them; to accept them, "
        "run again with this --run-id and a higher --max-bad-fraction"
    )


def _too_far(summary: dict[str, Any], max_drift: float | None) -> str | None:
    """Why the run is held back: something drifted further than `max_drift`, and than by chance alone."""
    if max_drift is None:
        return None
    for kind, what in KINDS.items():
        drift, name = _limited(summary, kind)
        if drift and drift["psi"] > max(max_drift, drift["by_chance"]):
            return (
                f"{TOO_FAR[what]} too far from {name}: PSI {drift['psi']:g} (by chance up to "
                f"{drift['by_chance']:g}), more than --max-drift {max_drift:g}; the run is written, but "
                f"{layout.LATEST} stays"
            )
    return None


def _limited(summary: dict[str, Any], kind: str) -> tuple[dict[str, Any] | None, str]:
    """The drift from the last run, or where that tells nothing from the held-out images; and their name."""
    for against, name in (("last", "the last run's"), ("held_out", "what the held-out images gave")):
        if drift := (summary[against] or {}).get(kind):
            return drift, name
    return None, ""


def _to_accept(output: Folder, plan: Plan, held_back: str) -> str:
    page = f"{output.uri}/{layout.run_folder(plan.spec.run)}/{layout.SUMMARY_PAGE}"
    return (
        f"run {plan.spec.run}: {held_back}: look at {page}; to accept it, run again with this --run-id and a "
        "higher --max-drift"
    )
