"""The report's own templates, style sheet and script, which lie beside this file."""

from pathlib import Path

import jinja2

from trainer import markup
from trainer.markup import code, shortened, source_of

__all__ = ["code", "environment", "read_part", "shortened", "source_of"]

HERE = Path(__file__).parent


def environment() -> jinja2.Environment:
    return markup.environment(HERE)


def read_part(name: str) -> str:
    """A style sheet or script that lies beside this file."""
    return (HERE / name).read_text(encoding="utf-8")
