"""The mutants of a module: its text with one small fault each."""

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from tests.mutants.operators import OPERATORS, Operator, Place, Position
from tests.mutants.rooms import ROOT, Room

LOG: Final = {"log", "logger", "logging"}
CONTEXT_LINES: Final = 2


@dataclass(frozen=True)
class Mutant:
    """`module` is relative to the checkout; `line` is the first that the fault touches, from 1."""

    module: str
    line: int
    operator: str
    text: str
    original: str

    def diff(self) -> str:
        before, after = self.original.splitlines(), self.text.splitlines()
        names = (f"a/{self.module}", f"b/{self.module}")
        return "\n".join(difflib.unified_diff(before, after, *names, n=CONTEXT_LINES, lineterm=""))


def mutants_of_room(room: Room) -> list[Mutant]:
    """In the order of the modules and of their lines."""
    mutants = [mutant for module in room.modules for mutant in _mutants_of_module(module)]
    return [mutant for mutant in mutants if room.line in (None, mutant.line)]


def _mutants_of_module(module: str) -> list[Mutant]:
    source = (ROOT / module).read_text()
    meanings = {ast.dump(ast.parse(source))}
    silent = list(_silent_spans(ast.parse(source)))
    mutants = []
    for name, operator in OPERATORS.items():
        for occurrence, (start, end, is_marker) in enumerate(_positions(source, operator)):
            if is_marker or any(first <= start and end <= last for first, last in silent):
                continue
            text = mutate_code(source, operator, occurrence)
            if (meaning := _meaning(text)) and meaning not in meanings:
                meanings.add(meaning)
                mutants.append(Mutant(module, start[0], name, text, source))
    return sorted(mutants, key=lambda mutant: mutant.line)


def _positions(source: str, operator: Operator) -> Iterator[tuple[Place, Place, bool]]:
    """Start, end, and whether it is a `*` or `/` among parameters, which cosmic-ray takes for arithmetic."""
    for node in ast_nodes(get_ast(source)):
        is_marker = node.parent is not None and node.parent.type == "parameters"
        for start, end in operator.mutation_positions(node):
            yield start, end, is_marker


def _meaning(text: str) -> str | None:
    """None for what is no Python."""
    try:
        return ast.dump(ast.parse(text))
    except SyntaxError:
        return None


def _silent_spans(tree: ast.Module) -> Iterator[Position]:
    """No fault is looked for in annotations, log entries, texts, and what only forbids."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(annotation=ast.expr() as annotation) | ast.AnnAssign(annotation=annotation):
                yield _span(annotation)
            case ast.FunctionDef(returns=ast.expr() as annotation):
                yield _span(annotation)
            case ast.AsyncFunctionDef(returns=ast.expr() as annotation):
                yield _span(annotation)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name))) if name in LOG:
                yield _span(node)
            case ast.keyword(arg="frozen" | "slots" | "strict", value=value):
                yield _span(value)
            case ast.JoinedStr():
                yield _span(node)


def _span(node: ast.expr) -> Position:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
