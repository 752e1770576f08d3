"""The small changes that can be made to a source: Cosmic Ray's, and two of our own. Needs requirements/mutants.txt.

Left out is what says nothing about the tests: annotations of types, which fail on import, log lines, which are wording, and
`frozen` and `gc` of a struct, which basedpyright and a profiler look after.
"""

import ast
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.python.tree import Keyword

# Of the arithmetic ones, one for each sign: any other proves the same. Of the comparisons, the opposite and the one beside it.
_ARITHMETIC = {
    f"core/ReplaceBinaryOperator_{pair}"
    for pair in (
        "Add_Sub", "Sub_Add", "Mul_FloorDiv", "FloorDiv_Mul", "Div_Mul", "Mod_FloorDiv", "Pow_Mul", "LShift_RShift", "RShift_LShift",
        "BitAnd_BitOr", "BitOr_BitAnd",
    )
}  # fmt: skip
_COMPARISONS = {
    f"core/ReplaceComparisonOperator_{pair}"
    for pair in (
        "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_Gt", "Gt_Lt", "LtE_GtE", "GtE_LtE", "Is_IsNot", "IsNot_Is",
    )
}  # fmt: skip
_LEFT_OUT = {"core/VariableReplacer", "core/VariableInserter", "core/ExceptionReplacer", "core/RemoveDecorator"}


class DropStatement(Operator):
    """A call, a `raise`, or an assignment to an attribute or an item, is left out. Other names would be missed at once."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type != "simple_stmt":
            return
        statement = node.children[0]
        target = statement.children[0] if statement.type == "expr_stmt" else statement
        if target.type in ("atom_expr", "power") or statement.type == "raise_stmt":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        first = node.children[0]
        node.children[0] = Keyword("pass", first.start_pos, prefix=first.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class ReturnNone(Operator):
    """What is returned is None."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "return_stmt" and node.children[1].get_code().strip() != "None":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[1] = Keyword("None", node.children[1].start_pos, prefix=" ")
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


def _operators() -> list[type[Operator]]:
    names = [
        name
        for name in operator_names()
        if name in _ARITHMETIC | _COMPARISONS
        or not (name in _LEFT_OUT or "BinaryOperator" in name or "ComparisonOperator" in name)
    ]
    return [*map(get_operator, names), DropStatement, ReturnNone]


class Change(NamedTuple):
    """One change, as the first lines that differ, and the source with it."""

    line: int
    was: str
    becomes: str
    source: str


def sample(sources: dict[str, str], size: int, seed: int) -> list[tuple[str, Change]]:
    """Changes of files, at most `size`, each at another place; of the several that a place allows, one by chance.

    The same sources, size and seed give the same changes; a larger size gives those of a smaller one first.
    """
    chance = random.Random(seed)
    places = [(file, place) for file, source in sorted(sources.items()) for place in _places(source)]
    chance.shuffle(places)
    found: list[tuple[str, Change]] = []
    for file, variants in places:
        operator, occurrence = chance.choice(variants)
        if len(found) < size and (change := _changed(sources[file], operator, occurrence)):
            found.append((file, change))
    return found


def _places(source: str) -> list[list[tuple[type[Operator], int]]]:
    """Of each place in a source that can be changed, the operators that can, and which of its occurrences that is."""
    tree = get_ast(source)
    left_out = _spans_left_out(source)
    places: dict[Any, list[tuple[type[Operator], int]]] = defaultdict(list)
    for operator in _operators():
        made = operator()
        positions = (start for node in ast_nodes(tree) for start, _ in made.mutation_positions(node))
        for occurrence, start in enumerate(positions):
            spans = left_out[operator.__name__.partition("_")[0]] + left_out["any"]
            if not any(first <= start < end for first, end in spans):
                places[start].append((operator, occurrence))
    return [places[start] for start in sorted(places)]


def _spans_left_out(source: str) -> dict[str, list[tuple[tuple[int, int], tuple[int, int]]]]:
    """By the kind of operator, or for any: log lines; where `|` joins types; settings of a struct that no test could notice."""
    types: list[Any] = []
    settings: list[Any] = []
    logs: list[Any] = []
    for node in ast.walk(ast.parse(source)):
        types += [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            types.append(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            types += node.args[1:]
        elif isinstance(node, ast.ClassDef):
            settings += [each.value for each in node.keywords if each.arg in ("frozen", "gc")]
        elif isinstance(node, ast.Expr) and ast.unparse(node).startswith("_log."):
            logs.append(node)
    spans: dict[str, Any] = defaultdict(list)
    spans["any"] = [_span(each) for each in logs]
    for each in filter(None, types):
        spans["ReplaceBinaryOperator"].append(_span(each))
    for each in settings:
        spans["ReplaceTrueWithFalse"].append(_span(each))
        spans["ReplaceFalseWithTrue"].append(_span(each))
    return spans


def _span(node: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _changed(source: str, operator: type[Operator], occurrence: int) -> Change | None:
    """None for what is no change, or no Python."""
    becomes = mutate_code(source, operator(), occurrence)
    try:
        if becomes is None or ast.dump(ast.parse(becomes)) == ast.dump(ast.parse(source)):
            return None
    except SyntaxError:
        return None
    old, new = source.splitlines(), becomes.splitlines()
    line = next((at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), 0)
    return Change(line + 1, old[line].strip(), new[line].strip(), becomes)
