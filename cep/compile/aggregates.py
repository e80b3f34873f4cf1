"""An aggregate of the language → what a window keeps."""

from __future__ import annotations

from dataclasses import replace

from cep.compile.expressions import SCALES, TEXT_OPS, Coder, is_float
from cep.lang.checked import Aggregate, CaptureAggregate, Expr, GroupCapture, Kind, Op
from cep.layout import AggregateSpec, Function

_BY_KIND = {
    "sum": (Function.SUM_I, Function.SUM_F),
    "avg": (Function.AVG_I, Function.AVG_F),
    "min": (Function.MIN_I, Function.MIN_F),
    "max": (Function.MAX_I, Function.MAX_F),
}
_ANY = {
    "count": Function.COUNT,
    "first": Function.FIRST,
    "last": Function.LAST,
    "count_distinct": Function.DISTINCT,
}


def inward(expr: Expr) -> Expr:
    """Text operations on the first or last text as the first or last of what they give, which a column can hold.

    That is the same: of a text they always give something, and nulls count for neither.
    """
    if not isinstance(expr, Op):
        return expr
    args = tuple(map(inward, expr.args))
    held = args[0]
    of_text = expr.name in TEXT_OPS or (expr.name == "in" and held.kind is Kind.TEXT)
    if of_text and isinstance(held, Aggregate | CaptureAggregate):
        assert held.argument is not None
        return replace(held, argument=Op(expr.name, (held.argument, *args[1:]), expr.kind), kind=expr.kind)
    if of_text and isinstance(held, GroupCapture):
        arguments = tuple(Op(expr.name, (argument, *args[1:]), expr.kind) for argument in held.arguments)
        return replace(held, arguments=arguments, kind=expr.kind)
    return replace(expr, args=args)


def aggregate_spec(coder: Coder, aggregate: Aggregate) -> AggregateSpec:
    """The window function, the column it reads, and how its words are read."""
    argument = aggregate.argument
    if argument is None:
        return AggregateSpec(Function.COUNT, -1, aggregate.window_us)
    real = is_float(argument.kind)
    name = aggregate.function
    function = _ANY[name] if name in _ANY else _BY_KIND[name][real]
    return AggregateSpec(
        function,
        coder.value_slot(aggregate.source.event, argument),
        aggregate.window_us,
        scale=SCALES.get(argument.kind, 1),
        real_in=real,
        real=is_float(aggregate.kind),
    )
