"""An explanation as HTML: a page of its own, or a section of another page."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from trainer.explain.explanation import Explanation, NamedImage, explain
from trainer.explain.figures import Arithmetic, kernels_uri, map_uri, overlay_uri, picture_uri, signed
from trainer.network.model import Network
from trainer.pages.markup import STYLE, environment, inline, policy

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Fragment:
    """A part of a page. `style` and `script` go into the page once, within <style> and <script>."""

    html: Markup
    style: Markup
    script: Markup


@dataclass(frozen=True)
class Origin:
    """Where a network comes from, for the reader."""

    arch: str
    run: str
    epochs: int
    calibrated: bool
    """whether its probabilities are the released model's"""


def render_fragment(
    network: Network, labels: tuple[str, ...], images: Sequence[NamedImage], temperature: float = 1.0
) -> Fragment:
    """Kernels, heat maps and activation maps of a few images, and the convolutions of the first.

    The content of a section, without its heading; its own headings are h3 and h4. About 150 KB, and 100 KB
    for each further image. Raises DataInvalid for a network whose numbers are none, ArithmeticWrong when the
    convolution by hand is not torch's.
    """
    explanation = explain(network, labels, images, temperature)
    html = _templates().get_template("fragment.html.j2").render(explanation=explanation)
    return Fragment(Markup(html), inline(HERE / "explain.css"), inline(HERE / "convolution.js"))  # noqa: S704 - escaped in it


def render_page(explanation: Explanation, origin: Origin) -> str:
    """The whole page for one image. It fetches nothing, and the browser runs no script in it but ours."""
    script = inline(HERE / "convolution.js")
    page = _templates().get_template("look.html.j2")
    return page.render(
        explanation=explanation,
        explained=explanation.images[0],
        origin=origin,
        styles=[inline(STYLE), inline(HERE / "explain.css")],
        script=script,
        policy=policy([script]),
    )


@cache
def _templates() -> jinja2.Environment:
    """Once, for it keeps what it compiled."""
    templates = environment(HERE, trim=False)
    templates.filters.update(
        picture=picture_uri, map=map_uri, kernels=kernels_uri, signed=signed, overlay=overlay_uri
    )
    templates.globals.update(arithmetic=Arithmetic.of)
    return templates
