"""What is worked out for whole columns: looking up in tables, the calendar, and functions that authors bring along.

In a filter or a condition such an expression speaks of one event: the one being judged, one that was captured, or the
latest of its kind; then it is a column like any other. In outputs it may speak of anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from cep.lang import ast
from cep.lang.checked.expressions import Aggregate, CaptureAggregate, CaptureRef, Const, Expr, LatestRef, Op
from cep.lang.checked.schema import Kind, Outside
from cep.lang.names import Names, parts
from cep.lang.operators import KindError, article
from cep.lang.report import Page, nearest
from cep.lang.tables import KEY_KINDS


def of_one_event(expr: Expr, in_outputs: bool) -> bool:
    """Whether the expression speaks of one event alone, or stands where that does not matter."""
    leaves = [part for part in parts(expr) if not isinstance(part, Op | Const)]
    if in_outputs or not leaves:
        return bool(leaves)
    return len({_about(leaf) for leaf in leaves}) == 1 and not isinstance(leaves[0], Aggregate | CaptureAggregate)


def _about(leaf: Expr) -> object:
    """Which event a leaf speaks of."""
    match leaf:
        case CaptureRef():
            return leaf.step, leaf.which
        case LatestRef():
            return leaf.source
        case _:
            return type(leaf)


def derived(expr: Expr, in_outputs: bool) -> Expr:
    """The expression, if it may stand here. Raises KindError."""
    if of_one_event(expr, in_outputs):
        return expr
    leaves = [part for part in parts(expr) if not isinstance(part, Op | Const)]
    if not leaves:
        raise KindError("CEP125", "this speaks of constants alone", "it is worked out for events: name a field")
    if any(isinstance(leaf, Aggregate | CaptureAggregate) for leaf in leaves):
        inside = "inside of the aggregate it may stand, as in max(shops[a.shop].risk)"
        raise KindError("CEP125", "this is worked out for single events, not for aggregates", inside)
    hint = "let each event have its own, and compare what comes out"
    raise KindError("CEP125", "this speaks of several events, and is worked out for one", hint)


def lookup(
    names: Names, page: Page, node: ast.Lookup, column: ast.Word, key: Expr | None, in_outputs: bool
) -> Expr | None:
    """`table[key].column`; None when something in it was reported. Raises KindError."""
    name = node.table.text
    table = names.tables.get(name)
    if table is None:
        if name not in names.broken:
            hint = nearest(name, names.tables) or 'declare it: table NAME from "file.csv" key COLUMN'
            page.error("CEP104", node.table.at, f'there is no table "{name}"', hint)
        return None
    if column.text not in table.columns:
        hint = nearest(column.text, table.columns) or f"its columns are {', '.join(table.columns)}"
        page.error("CEP104", column.at, f'the table "{name}" has no column "{column.text}"', hint)
        return None
    if key is None:
        return None
    if key.kind not in KEY_KINDS:
        raise KindError("CEP201", f"a table is looked up by text or a whole number, and this is {article(key.kind)}")
    names.keyed(name, key.kind)
    args = (key, Const(name, Kind.TEXT), Const(column.text, Kind.TEXT))
    return derived(Op("lookup", args, table.columns[column.text]), in_outputs)


def called(function: Outside, args: Sequence[Expr], in_outputs: bool) -> Expr:
    """The call of a function or a model. Raises KindError."""
    if function.what == "model" and any(arg.kind is Kind.TEXT for arg in args):
        raise KindError("CEP201", "a model takes numbers, and this is text", "a table makes numbers of texts")
    return derived(Op("call", (Const(function.name, Kind.TEXT), *args), function.kind), in_outputs)
