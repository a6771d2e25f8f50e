"""compare.html: what changed between two models, each changed answer with its image."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec
from trainer.compare.comparison import KINDS
from trainer.compare.record import ChangedAnswer, ComparisonRecord
from trainer.compare.unlabelled import MovedAnswer
from trainer.images.sources import Sample
from trainer.options import sources_of
from trainer.pages.markup import STYLE, environment, inline, policy
from trainer.pages.pictures import as_webp
from trainer.runs.run_folder import COMPARISON_FILE

HERE: Final = Path(__file__).parent
MOST_SHOWN: Final = 200
"""Changed answers of each kind that are on the page; compare.json has all."""
MOST_CLASSES: Final = 500
"""Rows of the table, the most worsened first."""


@dataclass(frozen=True)
class ShownChange:
    change: ChangedAnswer
    address: str
    """of its image as the new model saw it: a data URI"""


@dataclass(frozen=True)
class ShownMove:
    """Of an image without a label."""

    change: MovedAnswer
    address: str


def render_page(
    record: ComparisonRecord, samples: Sequence[Sample], unlabelled: Sequence[Sample], spec: PreprocessSpec
) -> str:
    """The page as text; it fetches nothing and runs no script. `samples` are those of `record.changed`, and
    `unlabelled` of the changed answers to images without a label. Raises DataInvalid where an image can no
    longer be read."""
    return (
        environment(HERE)
        .get_template("compare.html.j2")
        .render(
            record=record,
            sources=sources_of(record.settings["data"]),
            shown=list(_shown(record, samples, spec)),
            unlabelled=list(_moved(record, unlabelled, spec)),
            kinds=KINDS,
            counts=Counter(change.kind for change in record.changed),
            file=COMPARISON_FILE,
            most_shown=MOST_SHOWN,
            most_classes=MOST_CLASSES,
            styles=[inline(STYLE), inline(HERE / "compare.css")],
            policy=policy(()),
        )
    )


def _shown(
    record: ComparisonRecord, samples: Sequence[Sample], spec: PreprocessSpec
) -> Iterator[ShownChange]:
    taken: Counter[str] = Counter()
    for change, sample in zip(record.changed, samples, strict=True):
        taken[change.kind] += 1
        if taken[change.kind] <= MOST_SHOWN:
            yield ShownChange(change, _address(sample, spec))


def _moved(record: ComparisonRecord, samples: Sequence[Sample], spec: PreprocessSpec) -> Iterator[ShownMove]:
    changed = record.unlabelled.changed if record.unlabelled else []
    for change, sample in zip(changed[:MOST_SHOWN], samples, strict=False):
        yield ShownMove(change, _address(sample, spec))


def _address(sample: Sample, spec: PreprocessSpec) -> str:
    return as_webp(decode_image(sample.read(), spec))
