"""What a mutant may be: operators of cosmic-ray that make one small fault, and three of our own."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from cosmic_ray.operators import binary_operator_replacement as binary
from cosmic_ray.operators import (
    boolean_replacer,
    break_continue,
    remove_decorator,
    zero_iteration_for_loop,
)
from cosmic_ray.operators import comparison_operator_replacement as comparison
from cosmic_ray.operators import unary_operator_replacement as unary
from parso.python.tree import Name, Number

Place = tuple[int, int]
Position = tuple[Place, Place]
TOLERANCE: Final = 1e-5
ASSIGNED: Final = {"trailer", "atom_expr", "power"}
LOG_METHODS: Final = {"debug", "info", "warning", "error", "exception", "critical"}


class Operator(Protocol):
    """As cosmic-ray's `Operator`: where a node of parso's tree can be changed, and the node that results."""

    def mutation_positions(self, node: Any) -> Iterator[Position]: ...
    def mutate(self, node: Any, index: int) -> Any: ...


class ReplaceNumber:
    """A small number by its neighbours, one above 10 by its double and its half.

    A test that could tell 1,024 from 1,025 would only repeat the constant. What is below `TOLERANCE` guards
    against rounding, and stays.
    """

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if isinstance(node, Number) and not 0 < _value(node) < TOLERANCE:
            yield from [(node.start_pos, node.end_pos)] * 2

    def mutate(self, node: Any, index: int) -> Any:
        number = _value(node)
        step: float = number if number > 10 or 0 < number < 1 else 1
        lower: float = number - step if step == 1 else type(number)(number / 2)
        return Number(str((number + step, lower)[index]), node.start_pos, node.prefix)


class SkipStatement:
    """`pass` instead of a call, a raise, a del, or an assignment to an attribute or an element."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type == "simple_stmt" and _is_worth_skipping(node.children[0]):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        skipped = node.children[0]
        node.children[0] = Name("pass", skipped.start_pos, skipped.get_first_leaf().prefix)
        return node


class CatchNothing:
    """An `except` that catches nothing. (cosmic-ray's own takes no dotted names.)"""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type == "except_clause":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        caught = node.children[1]
        node.children[1] = Name("()", caught.start_pos, caught.get_first_leaf().prefix)
        return node


def _value(number: Number) -> float:
    literal = str(number.value).lower()
    is_float = not literal.startswith("0x") and any(mark in literal for mark in ".e")
    return float(literal) if is_float else int(literal, 0)


def _is_worth_skipping(statement: Any) -> bool:
    if statement.type == "expr_stmt":
        is_augmented = (
            statement.children[1].type in {"operator", "augassign"}
            and "=" in (statement.children[1].get_code().strip()[1:])
        )
        return is_augmented or statement.children[0].type in ASSIGNED
    if statement.type in {"atom_expr", "power"}:
        return not _is_of_the_log(statement)
    return statement.type in {"raise_stmt", "del_stmt"}


def _is_of_the_log(call: Any) -> bool:
    names = call.get_code().strip().partition("(")[0].split(".")
    return len(names) == 2 and names[0] in {"log", "logger", "logging"} and names[1] in LOG_METHODS


_COMPARISONS: Final = {
    "Lt": ("LtE", "GtE"),
    "LtE": ("Lt", "Gt"),
    "Gt": ("GtE", "LtE"),
    "GtE": ("Gt", "Lt"),
    "Eq": ("NotEq",),
    "NotEq": ("Eq",),
    "Is": ("IsNot",),
    "IsNot": ("Is",),
}
_ARITHMETIC: Final = {
    "Add": "Sub",
    "Sub": "Add",
    "Mul": "Div",
    "Div": "Mul",
    "FloorDiv": "Mul",
    "Mod": "Mul",
    "Pow": "Mul",
    "BitOr": "BitAnd",
    "BitAnd": "BitOr",
    "LShift": "RShift",
    "RShift": "LShift",
}


def _operators() -> Iterator[tuple[str, Operator]]:
    for source, targets in _COMPARISONS.items():
        for target in targets:
            yield (
                f"{source} to {target}",
                getattr(comparison, f"ReplaceComparisonOperator_{source}_{target}")(),
            )
    for source, target in _ARITHMETIC.items():
        yield f"{source} to {target}", getattr(binary, f"ReplaceBinaryOperator_{source}_{target}")()
    for kind in (
        unary.ReplaceUnaryOperator_Delete_Not,
        unary.ReplaceUnaryOperator_USub_UAdd,
        boolean_replacer.AddNot,
        boolean_replacer.ReplaceTrueWithFalse,
        boolean_replacer.ReplaceFalseWithTrue,
        boolean_replacer.ReplaceAndWithOr,
        boolean_replacer.ReplaceOrWithAnd,
        break_continue.ReplaceBreakWithContinue,
        break_continue.ReplaceContinueWithBreak,
        remove_decorator.RemoveDecorator,
        zero_iteration_for_loop.ZeroIterationForLoop,
        CatchNothing,
        ReplaceNumber,
        SkipStatement,
    ):
        yield kind.__name__, kind()


OPERATORS: Final[Mapping[str, Operator]] = dict(_operators())
