"""What there is to see, as HTML: a page of its own, or a fragment of another page."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

import trainer.report
from trainer.model import Network
from trainer.seeing.figures import Arithmetic, heat_uri, kernels_uri, map_uri, picture_uri, signed
from trainer.seeing.sight import NamedImage, Sight, look

HERE = Path(__file__).parent
REPORT_STYLE = Path(trainer.report.__file__).with_name("report.css")


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

    The content of a section, without its heading; its own headings are h3. About 150 KB an image.
    Raises ArithmeticWrong when the convolution by hand is not torch's.
    """
    sight = look(network, labels, images, temperature)
    html = _environment().get_template("fragment.html.j2").render(sight=sight)
    return Fragment(Markup(html), style(), script())  # noqa: S704 - escaped by the template


def render_page(sight: Sight, origin: Origin) -> str:
    """The whole page for one image."""
    return (
        _environment()
        .get_template("look.html.j2")
        .render(
            sight=sight,
            view=sight.views[0],
            origin=origin,
            report_style=Markup(REPORT_STYLE.read_text(encoding="utf-8")),  # noqa: S704 - our own file
            style=style(),
            script=script(),
            script_source=script_source(script()),
        )
    )


def style() -> Markup:
    return Markup((HERE / "seeing.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file


def script() -> Markup:
    return Markup((HERE / "convolution.js").read_text(encoding="utf-8"))  # noqa: S704 - our own file


def script_source(text: str) -> str:
    """What a Content-Security-Policy allows this script, and no other, with."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _environment() -> jinja2.Environment:
    # Labels and file names come from whoever made the data: everything is escaped.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(
        picture=picture_uri, map=map_uri, kernels=kernels_uri, signed=signed, heat=heat_uri
    )
    environment.globals.update(arithmetic=Arithmetic.of)
    return environment
