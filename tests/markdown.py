"""A page of Markdown as what it is made of: commands, tables, code and links, whatever its sentences say."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise, takewhile
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER: Final = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Cell:
    """Of a table: its text without marks, and what in it is code."""

    text: str
    code: tuple[str, ...]


Row = dict[str, Cell]
"""By the headings of the columns."""


@dataclass(frozen=True)
class Page:
    """A file, or a part of one."""

    text: str
    path: Path = Path()

    @classmethod
    def read(cls, path: Path) -> "Page":
        return cls(path.read_text(encoding="utf-8"), path)

    @cached_property
    def _tokens(self) -> list[Token]:
        return _PARSER.parse(self.text)

    @property
    def headings(self) -> list[str]:
        return [inline.content for opened, inline in pairwise(self._tokens) if opened.type == "heading_open"]

    def section(self, heading: str) -> "Page":
        """From this heading to the next of its level or above."""
        starts = [
            (opened, inline.content)
            for opened, inline in pairwise(self._tokens)
            if opened.type == "heading_open"
        ]
        (at,) = [index for index, (_, name) in enumerate(starts) if name == heading]
        first = starts[at][0]
        after = (opened for opened, _ in starts[at + 1 :] if opened.tag <= first.tag)
        lines = self.text.splitlines(keepends=True)
        return Page("".join(lines[_line(first) : next(map(_line, after), len(lines))]), self.path)

    def fences(self, language: str) -> list[str]:
        return [t.content for t in self._tokens if t.type == "fence" and t.info == language]

    @property
    def commands(self) -> list[str]:
        """The lines of all ```bash, those that go on (\\\\) as one."""
        joined = (fence.replace("\\\n", " ") for fence in self.fences("bash"))
        return [line.strip() for fence in joined for line in fence.splitlines() if line.strip()]

    @property
    def code(self) -> list[str]:
        """What stands between backticks in the sentences and tables."""
        return [t.content for t in self._inline() if t.type == "code_inline"]

    @property
    def links(self) -> list[str]:
        return [str(t.attrs["href"]) for t in self._inline() if t.type == "link_open"]

    def tables(self, *headings: str) -> list[list[Row]]:
        """Those whose columns begin with these headings."""
        return [table for table in self._tables() if [*table[0]][: len(headings)] == list(headings)]

    def table(self, *headings: str) -> list[Row]:
        """The only one."""
        (table,) = self.tables(*headings)
        return table

    def _inline(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()

    def _tables(self) -> Iterator[list[Row]]:
        rows: list[list[Cell]] = []
        for before, token in pairwise(self._tokens):
            if token.type == "tr_open":
                rows.append([])
            elif before.type in {"th_open", "td_open"}:
                rows[-1].append(_cell(token))
            elif token.type == "table_close":
                names = [cell.text for cell in rows[0]]
                yield [dict(zip(names, row, strict=True)) for row in rows[1:]]
                rows = []


def _line(token: Token) -> int:
    assert token.map is not None
    return token.map[0]


def _cell(inline: Token) -> Cell:
    parts = inline.children or []
    text = "".join(part.content for part in parts if part.type in {"text", "code_inline"})
    return Cell(text, tuple(part.content for part in parts if part.type == "code_inline"))


def simple_commands(command: str) -> Iterator[list[str]]:
    """The words of what `&&`, `|` and `;` put together, without redirections."""
    words = shlex.split(command, comments=True)
    for joins, part in groupby(words, lambda word: word in {"&&", "|", ";"}):
        if not joins:
            yield list(takewhile(lambda word: word not in {">", "<"}, part))


def options_in(text: str) -> set[str]:
    """The `--options` among the words of some code."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


_UNITS: Final = {
    "": 1,
    "s": 1,
    "minutes": 60,
    "%": 0.01,
    "points": 0.01,
    "CPUs": 1,
    "times": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "GB": 1e9,
    "megapixels": 1e6,
}


def amount(text: str) -> float:
    """`32 MiB`, `1 %`, `100,000` in the unit that the options have."""
    number, _, unit = text.replace(",", "").partition(" ")
    return float(number) * _UNITS[unit]
