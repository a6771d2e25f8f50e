"""What a person reads of a run: of its plan, and at the end what it came to."""

import shlex

from rich.filesize import decimal

from fovea.printable import printable
from fovea.stores.folder import Folder
from scorer.files import layout
from scorer.files.plan import Plan, left_out_line
from scorer.files.summary import HeldOutSummary, LastRunSummary, RunSummary


def report(summary: RunSummary, output: str) -> str:
    """What a person wants to know of a run that has ended."""
    where = f"{output}/{layout.run_folder(summary.run)}"
    model = f"{summary.model.name} version {summary.model.version}"
    lines = [f"run {summary.run}: {summary.images:,} images by {model}"]
    facts = {
        "status": _counts(summary.statuses),
        "carried": _carried(summary),
        "labels": f"{_counts(summary.labels)}; {_without_label(summary)}{_unknown(summary)}",
        "left out": _left_out(summary),
        "speed": _speed(summary),
        "faster": summary.knob,
        "changed": _changed(summary),
        "drift": _drift(summary),
        "verified": _verified(summary),
        "rows": f"{where}/{layout.SHARDS}/",
        "not ok": f"{where}/{layout.QUARANTINE}" if summary.bad_examples else "",
        "summary": f"{where}/{layout.SUMMARY_PAGE}",
    }
    lines += [f"  {name:<11} {fact}" for name, fact in facts.items() if fact]
    return "\n".join(map(printable, lines))


def plan_report(plan: Plan, output: Folder) -> str:
    spec = plan.spec
    size_bytes = sum(shard.size_bytes for shard in plan.shards)
    fetch_bytes = sum(shard.fetch_bytes for shard in plan.shards)
    left_out = f"  left out    {plan.left_out_line}"
    options = shlex.join(["--output", output.uri, "--run-id", spec.run])
    lines = [
        f"run {spec.run}: planned, with {spec.model_name} version {spec.model_version}",
        f"  images      {plan.images:,} ({decimal(size_bytes)}) in {spec.keys or spec.source}",
        f"  carried     {_carried_from(plan.carried, plan)}",
        f"  to score    {plan.images - plan.carried:,} ({decimal(fetch_bytes)} to fetch)",
        *([left_out] if plan.left_out else []),
        f"  shards      {len(plan.shards):,}",
        f"  plan        {output.uri}/{layout.plan_folder(spec.run)}/{layout.PLAN}",
        f"next: python -m scorer work {options}",
        f"then: python -m scorer commit {options}",
    ]
    return "\n".join(map(printable, lines))


def _carried_from(carried: int, plan: Plan) -> str:
    return f"{carried:,} from run {plan.previous}" if carried else "none"


def _carried(summary: RunSummary) -> str:
    carried = summary.carried
    return f"{carried:,} from run {summary.previous}; {summary.scored:,} scored" if carried else ""


def _without_label(summary: RunSummary) -> str:
    """Images that the model gave none: because it abstained, or because it found none in them."""
    if summary.labelled is None:
        return f"abstained {summary.abstained:,}"
    return f"none {summary.labelled.none:,} of {summary.labelled.images:,} images"


def _unknown(summary: RunSummary) -> str:
    return f"; unknown {summary.unknown:,}" if summary.unknown is not None else ""


def _left_out(summary: RunSummary) -> str:
    return left_out_line(summary.left_out, summary.left_out_kinds) if summary.left_out else ""


def _speed(summary: RunSummary) -> str:
    if not summary.scored:
        return ""
    speed = f"{summary.images_per_s:,.1f} images/s in {summary.seconds:.1f} s"
    return f"{speed}; {summary.bottleneck} is the bottleneck" if summary.bottleneck else speed


def _changed(summary: RunSummary) -> str:
    if not summary.last:
        return f"nothing is compared: {summary.no_last_because}"
    images, labels = summary.last.changes.images, summary.last.changes.labels
    changed = f"{labels.changed:,} of the {images.in_both:,} labels in both"
    why = f" ({labels.image_changed:,} by another image, {labels.model_changed:,} of the same one)"
    status = f"; lost {labels.lost:,}, gained {labels.gained:,}" if labels.lost or labels.gained else ""
    rest = f"new images {images.new:,}, vanished {images.vanished:,}"
    return f"since {summary.last.run}: {changed}{why if labels.changed else ''}{status}; {rest}"


def _drift(summary: RunSummary) -> str:
    others = ((summary.last, "the last run"), (summary.held_out, "the held-out images"))
    return "; ".join(_drift_from(other, name) for other, name in others if other and other.drifts)


def _drift_from(other: LastRunSummary | HeldOutSummary, name: str) -> str:
    scores = ", ".join(f"{what} {drift.psi:.3g}" for what, drift in other.drifts.items())
    return f"{other.worst} against {name} (PSI: {scores})"


def _verified(summary: RunSummary) -> str:
    verification = summary.verification
    if not verification:
        return ""
    left_out = verification.changed + verification.gone + verification.unreadable
    others = f"; {left_out:,} changed, gone or unreadable since" if left_out else ""
    return f"{verification.asked:,} images with {verification.target}, which says the same{others}"


def _counts(counts: dict[str, int], most: int = 8) -> str:
    largest = sorted(counts.items(), key=lambda pair: -pair[1])
    text = ", ".join(f"{name} {count:,}" for name, count in largest[:most]) or "none"
    return f"{text}, and {len(counts) - most} more" if len(counts) > most else text
