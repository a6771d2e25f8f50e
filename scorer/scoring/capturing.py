"""What of a shard's answers is captured: the same each time that it is scored."""

import hashlib
import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fovea.capture.files import put_window
from fovea.capture.reasons import REASONS, Rules
from fovea.capture.rows import TOP, Captured, Window
from fovea.capture.sampling import Budget, Sample
from fovea.errors import FoveaError
from fovea.stores.folder import Entry
from fovea.stores.storage import open_folder
from scorer.files.plan import CaptureSpec, Plan, RunSpec
from scorer.files.rows import Failure, TopLabels, escaped
from scorer.scoring.pipeline import Scored

logger = logging.getLogger(__name__)

_failing: Final[set[str]] = set()
"""Folders that did not take the last captures of this process: the next shard waits no 45 s for them."""


@dataclass(frozen=True)
class ShardCaptureSpec:
    """All that decides what is captured of a shard."""

    capture: CaptureSpec
    planned: datetime
    shard: int
    budget: Budget
    drifting: frozenset[str]


def capture_spec_of(plan: Plan, shard: int) -> ShardCaptureSpec | None:
    """The shard's part of the run's budget is as large as its part of what is to be scored."""
    capture = plan.spec.capture
    if capture is None:
        return None
    before = sum(each.to_score for each in plan.shards[:shard])
    whole = max(1, sum(each.to_score for each in plan.shards))
    after = before + plan.shards[shard].to_score
    parts = (
        of_run * after // whole - of_run * before // whole
        for of_run in (capture.per_run, capture.bytes_per_run)
    )
    return ShardCaptureSpec(capture, plan.created, shard, Budget(*parts), frozenset(plan.drifting))


class ShardCaptures:
    """Of one shard, chosen in the order of its rows."""

    def __init__(self, spec: ShardCaptureSpec, run: RunSpec) -> None:
        self._spec, self._run = spec, run
        self._rules = Rules(spec.capture.share, spec.capture.margin)
        source = random.Random(f"{run.run}/{spec.shard}")
        self._draw = source.random
        self._sample: Sample[Captured] = Sample(spec.budget, REASONS, source)
        self._answers = 0

    def offer(self, scored: Scored, scored_at: datetime) -> None:
        """A batch of the shard's images."""
        for entry, outcome, file in zip(*scored, strict=True):
            if not isinstance(outcome, Failure) and file is not None and outcome.margin is not None:
                self._offer(entry, outcome, file, outcome.margin, scored_at)

    def put(self) -> None:
        """Before the shard's rows: what was chosen of rows that are there is there too. Raises nothing: a
        store that fails costs these captures."""
        rows = [row for _, row in self._sample.kept]
        if not rows:
            return
        window = Window(
            self._spec.planned, datetime.now(UTC), self._answers, self._sample.seen, self._rules.share
        )
        uri = self._spec.capture.folder
        try:
            folder = open_folder(uri, long_retries=uri not in _failing)
            put_window(folder, f"{self._run.run}-{self._spec.shard:05}", rows, window)
            _failing.discard(uri)
        except Exception as error:
            _failing.add(uri)
            unforeseen = None if isinstance(error, FoveaError) else error
            lost = {"shard": self._spec.shard, "images": len(rows), "reason": str(error)}
            logger.warning("captures cannot be written and are lost", extra=lost, exc_info=unforeseen)

    def _offer(self, entry: Entry, top: TopLabels, file: bytes, margin: float, scored_at: datetime) -> None:
        self._answers += 1
        reason = self._rules.reason(
            self._draw(),
            abstained=top.abstained,
            unknown=top.unknown,
            is_drifting=not self._spec.drifting.isdisjoint(top.given),
            is_close=margin < self._rules.margin,
        )
        if reason is not None:
            self._sample.offer(
                reason, len(file), lambda: self._row(entry, top, file, margin, scored_at, reason)
            )

    def _row(
        self, entry: Entry, top: TopLabels, file: bytes, margin: float, scored_at: datetime, reason: str
    ) -> Captured:
        return Captured(
            image=file if self._spec.capture.images else None,
            sha256=hashlib.sha256(file).hexdigest(),
            size_bytes=len(file),
            label=top.labels[0],
            probability=top.probabilities[0],
            top_labels=top.labels[:TOP],
            top_probabilities=top.probabilities[:TOP],
            margin=margin,
            abstained=top.abstained,
            distance=top.distance,
            unknown=top.unknown,
            model_name=self._run.model_name,
            model_version=self._run.model_version,
            model_digest=self._run.model_digest,
            answered_at=scored_at,
            reason=reason,
            run=self._run.run,
            key=escaped(entry.key),
            labels=top.selected,
        )
