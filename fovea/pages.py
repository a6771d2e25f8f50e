"""Templates of HTML pages, in which text from outside stays text. For the programs that need jinja2."""

from pathlib import Path

import jinja2
from markupsafe import Markup

from fovea.printable import LONGEST, printable, shortened


def environment(folder: Path, *, trim: bool = True) -> jinja2.Environment:
    """For the templates in a folder. `trim` leaves out the line breaks and spaces around blocks.

    Labels, keys, file names and errors come from whoever made the data: everything is escaped but markup of
    our own.
    """
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=trim,
        lstrip_blocks=trim,
    )
    templates.filters.update(counted=counted, named=named, number=number, short=shortened)
    return templates


def named(text: str, longest: int = LONGEST) -> Markup:
    """A name from outside, whose own direction stays inside."""
    return Markup("<bdi>{}</bdi>").format(shortened(text, longest))


def counted(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def number(value: float) -> str:
    return f"{value:,}"


def _printable(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
