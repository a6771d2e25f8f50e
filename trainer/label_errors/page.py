"""suspects.html: the suspicions with their images, to be gone through by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from trainer.explain.pictures import data_uri, picture
from trainer.images.batches import Images
from trainer.images.corrections import COLUMNS, KEEP, LEAVE_OUT, RELABEL
from trainer.label_errors.suspects import CORRECTIONS_FILE, Suspect, SuspectsRecord
from trainer.options import sources_of
from trainer.pages.markup import STYLE, environment, inline, policy

HERE: Final = Path(__file__).parent
MOST_SHOWN: Final = 500
"""The most doubtful; the files beside the page have all."""
SIDE: Final = 160


@dataclass(frozen=True)
class ShownSuspect:
    """A suspicion with its image, as the network saw it: a data URI."""

    suspect: Suspect
    address: str


def render_page(record: SuspectsRecord, images: Images) -> str:
    """The page as text; it fetches nothing, and the browser runs no script in it but ours. `images` are those
    of the suspicions, in their order."""
    script = inline(HERE / "suspects.js")
    return (
        environment(HERE)
        .get_template("suspects.html.j2")
        .render(
            record=record,
            shown=list(_shown(record, images)),
            sources=sources_of(record.settings["data"]),
            decisions={"keep": KEEP, "relabel": RELABEL, "leave_out": LEAVE_OUT},
            columns=",".join(COLUMNS),
            file=CORRECTIONS_FILE,
            styles=[inline(STYLE), inline(HERE / "suspects.css")],
            script=script,
            policy=policy([script]),
        )
    )


def _shown(record: SuspectsRecord, images: Images) -> Iterator[ShownSuspect]:
    for index, suspect in enumerate(record.suspects[:MOST_SHOWN]):
        crop = images.pixels(np.array([index]))[0]
        yield ShownSuspect(suspect, data_uri(picture(crop, SIDE)))
