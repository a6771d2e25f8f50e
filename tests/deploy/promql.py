"""Which metrics, labels and values a query asks for, as far as deploy/ makes use of PromQL."""

import re
from collections.abc import Iterator

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
MATCHER = re.compile(rf'({NAME})\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
OPERATORS = {"and", "or", "unless", "bool", "offset", "by", "on"}

Selector = tuple[str, dict[str, str]]
"""A metric, and for each label that is matched by = or =~ what it is to be."""


def selectors(query: str) -> Iterator[Selector]:
    bare = re.sub(r"\[[^]]*\]", "", GROUPING.sub("", query))
    for match in re.finditer(rf"({NAME})\s*(\{{[^}}]*\}})?(\s*\()?", _without_strings(bare)):
        name, braces, call = match.groups()
        if not call and name not in OPERATORS:
            yield name, _matchers(bare, match.start(2)) if braces else {}


def _matchers(query: str, start: int) -> dict[str, str]:
    """Of the selector whose brace opens at `start`; a dashboard's variables match anything."""
    inside = query[start : query.index("}", start)]
    return {
        name: value for name, how, value in MATCHER.findall(inside) if how in {"=", "=~"} and "$" not in value
    }


def _without_strings(query: str) -> str:
    """The same length, so that places in it are places in the query."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda match: '"' + " " * (len(match[0]) - 2) + '"', query)
