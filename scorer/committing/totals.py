"""What a run came to, added up shard by shard."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from fovea.model.classifier import CUDA
from scorer.committing.class_distribution import ClassDistribution
from scorer.files.rows import ShardCounts, StageTime
from scorer.files.summary import BadExample, StageSummary
from scorer.scoring.bottleneck import Advice, advise, utilisation

BAD_EXAMPLES: Final = 5
"""Of each status that is not ok."""


@dataclass
class Totals:
    """The sums over a run's shards."""

    images: int = 0
    carried: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    bad_examples: dict[str, list[BadExample]] = field(default_factory=dict)
    distribution: ClassDistribution = field(default_factory=ClassDistribution)
    seconds: float = 0.0
    """What the shards took, one after the other; several machines are faster than that."""
    stages: dict[str, StageTime] = field(default_factory=dict)
    providers: set[str] = field(default_factory=set)
    """What ran the model, by onnxruntime's names."""

    @property
    def bad_images(self) -> int:
        return self.images - self.statuses["ok"]

    @property
    def images_per_s(self) -> float:
        """Of the images that this run scored itself."""
        return (self.images - self.carried) / self.seconds if self.seconds else 0.0

    @property
    def advice(self) -> Advice | None:
        """None when there was nothing to do."""
        return advise(self.stages, CUDA in self.providers)

    def count(self, counts: ShardCounts) -> None:
        """A shard's footer."""
        self.carried += counts.carried
        self.seconds += counts.elapsed_s
        self.providers.add(counts.provider)
        for name, stage in counts.stages.items():
            so_far = self.stages.get(name, StageTime(0, 0))
            self.stages[name] = StageTime(so_far.busy_s + stage.busy_s, so_far.capacity_s + stage.capacity_s)

    def add(self, rows: pa.Table) -> pa.Table:
        """Returns the rows that are not ok."""
        self.images += rows.num_rows
        self.distribution.add(rows)
        for count in pc.value_counts(rows["status"].cast(pa.string())).to_pylist():
            self.statuses[count["values"]] += count["counts"]
        bad = rows.filter(pc.not_equal(rows["status"], "ok"))
        self._keep_examples(bad)
        return bad

    def stage_summaries(self) -> dict[str, StageSummary]:
        """Stage -> how long it worked, and how much of its time."""
        return {
            name: StageSummary(busy_s=round(stage.busy_s, 3), utilisation=round(utilisation(stage), 3))
            for name, stage in self.stages.items()
        }

    def _keep_examples(self, bad: pa.Table) -> None:
        for status in pc.unique(bad["status"].cast(pa.string())).to_pylist():
            examples = self.bad_examples.setdefault(status, [])
            some = bad.filter(pc.equal(bad["status"], status)).slice(0, BAD_EXAMPLES - len(examples))
            examples += map(BadExample.model_validate, some.select(["key", "error"]).to_pylist())
