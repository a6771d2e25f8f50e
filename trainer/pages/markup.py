"""Text from outside, and numbers, as the templates of pages write them."""

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from fovea.printable import printable

LONGEST = 60
"""Of a class or file on the page; a name may be thousands of characters long."""


def environment(folder: Path, *, trim: bool = True) -> jinja2.Environment:
    """For the templates in a folder. `trim` leaves out the line breaks and spaces around blocks.

    Labels and file names come from whoever made the data: everything is escaped but our own drawings.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=trim,
        lstrip_blocks=trim,
    )
    made.filters.update(
        code=code, counted=_counted, named=named, short=shortened, percent=percent, number=_number, sig=_sig
    )
    return made


def code(text: str) -> Markup:
    """What stands between backticks as code; all of it escaped."""
    parts = printable(text).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def shortened(text: str, longest: int = LONGEST) -> str:
    """On one line that turns no direction; of a long one the two ends."""
    end, shown = longest // 3, printable(text)
    return shown if len(shown) <= longest else f"{shown[: longest - end - 1]}…{shown[-end:]}"


def named(text: str, longest: int = LONGEST) -> Markup:
    """A name from outside, whose own direction stays inside."""
    return Markup("<bdi>{}</bdi>").format(escape(shortened(text, longest)))


def percent(share: float, digits: int = 1) -> Markup:
    """Number and sign stay on one line."""
    return Markup("{:.{}f}&nbsp;%").format(100 * share, digits)


def source_of(script: str) -> str:
    """What a content security policy allows exactly this inline script by."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _shown(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _counted(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _number(value: float) -> str:
    return f"{value:,}"


def _sig(value: float) -> str:
    """Three significant digits, without an exponent where it is of no use."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
