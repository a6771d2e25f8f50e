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
from trainer.images.sources import Sample
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


def render_page(
    record: ComparisonRecord, places: Sequence[int], samples: Sequence[Sample], spec: PreprocessSpec
) -> str:
    """The page as text; it fetches nothing and runs no script. `places` are those of `record.changed` among
    the samples. Raises DataInvalid where an image can no longer be read."""
    return (
        environment(HERE)
        .get_template("compare.html.j2")
        .render(
            record=record,
            shown=list(_shown(record, places, samples, spec)),
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
    record: ComparisonRecord, places: Sequence[int], samples: Sequence[Sample], spec: PreprocessSpec
) -> Iterator[ShownChange]:
    taken: Counter[str] = Counter()
    for change, place in zip(record.changed, places, strict=True):
        taken[change.kind] += 1
        if taken[change.kind] <= MOST_SHOWN:
            yield ShownChange(change, as_webp(decode_image(samples[place].read(), spec)))
