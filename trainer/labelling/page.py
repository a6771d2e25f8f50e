"""label.html: the images to label, in one file that works without a server, or is served by this program."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from fovea.model.bundle import BundleContract, canonical_json
from trainer.images.corrections import BY_CONTENT, COLUMNS, KEEP, LEAVE_OUT, RELABEL
from trainer.labelling.gathering import Candidate
from trainer.labelling.saving import CORRECTIONS_FILE, Row, probability_of
from trainer.pages.markup import STYLE, environment, inline, policy

HERE: Final = Path(__file__).parent
SCRIPTS: Final = ("answers.js", "keeping.js", "typing.js", "page.js")
PICTURES_EACH: Final = 50
"""Of a script: the first of them is all that has to be there for the first image to be shown."""


@dataclass(frozen=True)
class Labelled:
    """What a page is of."""

    contract: BundleContract
    images: Sequence[Candidate]
    groups: Sequence[Sequence[int]]
    """places of images that one answer is for"""
    earlier: Sequence[Row]
    """what corrections.csv holds already"""
    told: Sequence[str]
    """lines about what is not on the page"""


def render_page(labelled: Labelled, token: str | None = None) -> str:
    """The page as text; the browser runs no script in it but ours. With a `token` it asks this program, and
    nobody else, to keep each answer."""
    scripts = [inline(HERE / name) for name in SCRIPTS]
    addresses = [each.picture.address for each in labelled.images]
    starts = range(0, len(addresses), PICTURES_EACH)
    return (
        environment(HERE)
        .get_template("label.html.j2")
        .render(
            labelled=labelled,
            title=title_of(labelled.contract),
            data=_as_json(_data(labelled, token)),
            pictures=[_as_json(addresses[start : start + PICTURES_EACH]) for start in starts],
            file=CORRECTIONS_FILE,
            is_served=token is not None,
            styles=[inline(STYLE), inline(HERE / "label.css")],
            scripts=scripts,
            policy=policy(scripts, asks_its_server=token is not None),
        )
    )


def title_of(contract: BundleContract) -> str:
    return f"{contract.name} {contract.version}" if contract.version else contract.name


def _data(labelled: Labelled, token: str | None) -> dict[str, Any]:
    return {
        "model": labelled.contract.name,
        "token": token,
        "labels": labelled.contract.labels,
        "file": CORRECTIONS_FILE,
        "columns": COLUMNS,
        "by_content": BY_CONTENT,
        "decisions": {"keep": KEEP, "relabel": RELABEL, "leaveOut": LEAVE_OUT},
        "earlier": labelled.earlier,
        "groups": labelled.groups,
        "pictures_each": PICTURES_EACH,
        "images": list(map(_image, labelled.images)),
    }


def _image(each: Candidate) -> dict[str, Any]:
    row = each.row
    tops = zip(row.top_labels, row.top_probabilities, strict=True)
    return {
        "sha256": row.sha256,
        "label": row.label,
        "probability": probability_of(row),
        "top": [(label, round(probability, 4)) for label, probability in tops],
        "why": ", ".join(_why(each)),
        "drawn": each.drawn,
        "answered_at": f"{row.answered_at:%Y-%m-%d %H:%M} UTC by version {row.model_version}",
        "key": row.key,
    }


def _why(each: Candidate) -> Iterator[str]:
    yield from each.told.why()
    if each.drawn:
        yield "drawn by chance"
    yield f"margin {each.told.margin:.2f}"


def _as_json(value: object) -> Markup:
    """For within <script>, which no text from outside can end."""
    return Markup(canonical_json(value).replace("<", "\\u003c"))  # noqa: S704 - no < is left
