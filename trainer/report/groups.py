"""How the model fares on each group of images that it was not trained on."""

from dataclasses import dataclass

from trainer.evaluate.by_group import ByGroup, Fall, by_group, fall
from trainer.images.audit import AuditRecord
from trainer.images.batches import Images
from trainer.report.outcomes import Outcomes
from trainer.runs.random_split import RandomSplitRecord, read_random_split
from trainer.runs.run_folder import RunFolder


@dataclass(frozen=True)
class GroupContents:
    """Of a split by groups; None where there are none."""

    by_group: ByGroup | None = None
    random_split: RandomSplitRecord | None = None
    fall: Fall | None = None


def contents_of_groups(run: RunFolder, audit: AuditRecord, told: Images, outcomes: Outcomes) -> GroupContents:
    """`told` are the images that the figures are told of."""
    groups = [sample.group for sample in told.samples if sample.group is not None]
    if audit.groups is None or len(groups) < len(told):
        return GroupContents()
    fares, random = by_group(groups, outcomes.predicted == outcomes.targets), read_random_split(run)
    return GroupContents(fares, random, fall(fares, random.right, random.images) if random else None)
