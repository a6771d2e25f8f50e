"""How a page is put together: its templates, the text and numbers in them, its style and scripts."""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup

from fovea import pages
from fovea.printable import printable

STYLE: Final = Path(__file__).parent / "page.css"


def environment(folder: Path, *, trim: bool = True) -> jinja2.Environment:
    """For the templates in a folder: see `fovea.pages.environment`."""
    templates = pages.environment(folder, trim=trim)
    templates.filters.update(code=code, percent=percent, sig=_sig)
    return templates


def inline(file: Path) -> Markup:
    """A style sheet or script of our own, for within <style> or <script>."""
    return Markup(file.read_text(encoding="utf-8"))  # noqa: S704 - our own file


def policy(scripts: Iterable[Markup], *, asks_its_server: bool = False) -> Markup:
    """By which a browser runs exactly these inline scripts, and fetches nothing: at most it asks the server
    that the page is of."""
    allowed = " ".join(map(_digest, scripts))
    run = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; "
    run += "connect-src 'self'; " if asks_its_server else ""
    return Markup(run + "base-uri 'none'; form-action 'none'")  # noqa: S704 - digests


def code(text: str) -> Markup:
    """What stands between backticks as code; all of it escaped."""
    parts = printable(text).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def percent(share: float, digits: int = 1) -> Markup:
    """Number and sign stay on one line."""
    return Markup("{:.{}f}&nbsp;%").format(100 * share, digits)


def _digest(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _sig(value: float) -> str:
    """Three significant digits, without an exponent where it is of no use."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
