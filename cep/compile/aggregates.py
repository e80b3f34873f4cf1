"""An aggregate of the language → what a window keeps."""

from __future__ import annotations

from dataclasses import replace

from cep.compile.expressions import SCALES, TEXT_OPS, Coder, is_derived, is_float, walk
from cep.lang.checked.expressions import Aggregate, CaptureAggregate, Const, Expr, GroupCapture, Op
from cep.lang.checked.schema import EWMA_HALVINGS, Kind
from cep.layout.aggregates import AggregateSpec, Form, Function

_BY_KIND = {
    "sum": (Function.SUM_I, Function.SUM_F),
    "avg": (Function.AVG_I, Function.AVG_F),
    "min": (Function.MIN_I, Function.MIN_F),
    "max": (Function.MAX_I, Function.MAX_F),
    "increase": (Function.INCREASE_I, Function.INCREASE_F),
}
_ANY = {
    "count": Function.COUNT,
    "first": Function.FIRST,
    "last": Function.LAST,
    "count_distinct": Function.DISTINCT,
    "prev": Function.PREV,
    "top": Function.TOP,
    "new": Function.NEW,
    "stddev": Function.STDDEV,
    "zscore": Function.ZSCORE,
    "slope": Function.SLOPE,
    "changes": Function.CHANGES,
    "ewma": Function.EWMA,
}


def inward(expr: Expr) -> Expr:
    """Text operations on the first or last text as the first or last of what they give, which a column can hold.

    That is the same: of a text they always give something, and nulls count for neither. Of the most frequent text it is
    not the same; the checker refuses them there, save `in`, which compares words.
    """
    if not isinstance(expr, Op):
        return expr
    args = tuple(map(inward, expr.args))
    held = args[0]
    of_text = expr.name in TEXT_OPS or (expr.name == "in" and held.kind is Kind.TEXT)
    if of_text and isinstance(held, Aggregate | CaptureAggregate) and held.function != "top":
        assert held.argument is not None
        return replace(held, argument=_applied(expr, held.argument, args[1:]), kind=expr.kind)
    if of_text and isinstance(held, GroupCapture):
        arguments = tuple(_applied(expr, argument, args[1:]) for argument in held.arguments)
        return replace(held, arguments=arguments, kind=expr.kind)
    end = _one_end(expr) if is_derived(expr) else None
    if end is not None:
        arguments = tuple(_of_step(expr, place) for place in range(len(end.steps)))
        return replace(end, arguments=arguments, kind=expr.kind)
    return expr if args == expr.args else replace(expr, args=args)


def _one_end(expr: Expr) -> GroupCapture | None:
    """A group's first or last event, if the expression is about nothing else: it has columns then as any event has."""
    leaves = [part for part in walk(expr) if not isinstance(part, Op | Const)]
    ends = [leaf for leaf in leaves if isinstance(leaf, GroupCapture) and leaf.function in ("of_first", "of_last")]
    alike = {(end.function, end.steps) for end in ends}
    return ends[0] if len(ends) == len(leaves) and len(alike) == 1 else None


def _of_step(expr: Expr, place: int) -> Expr:
    """What an expression about a group's first or last event says when that is an event of one of the group's steps."""
    if isinstance(expr, GroupCapture):
        return expr.arguments[place]
    if isinstance(expr, Op):
        return replace(expr, args=tuple(_of_step(arg, place) for arg in expr.args))
    return expr


def _applied(operation: Op, text: Expr, patterns: tuple[Expr, ...]) -> Expr:
    """The operation on a text, or on the one that is given under a condition."""
    if isinstance(text, Op) and text.name == "given":
        return Op("given", (_applied(operation, text.args[0], patterns), text.args[1]), operation.kind)
    return Op(operation.name, (text, *patterns), operation.kind)


def aggregate_spec(coder: Coder, aggregate: Aggregate) -> AggregateSpec:
    """The function, the column it reads and how its words are read, and the window."""
    argument, window, name = aggregate.argument, aggregate.window, aggregate.function
    function, value, real, scale, parameter = Function.COUNT, -1, False, 1, 0
    if argument is not None:
        real = is_float(argument.kind)
        function = _ANY[name] if name in _ANY else _BY_KIND[name][real] if name in _BY_KIND else Function.RANK
        value = coder.value_slot(aggregate.source.event, argument)
        scale = SCALES.get(argument.kind, 1)
    if function is Function.RANK:
        parameter = int(name.removeprefix("p"))
    elif function is Function.EWMA:
        parameter = window.length_us // EWMA_HALVINGS
    return AggregateSpec(
        function,
        value,
        Form[window.form.upper()],
        window.length_us,
        window.step_us,
        window.count,
        window.offset_us,
        until=coder.calendar_slot(window.zone, window.length_us) if window.form == "each" else -1,
        life_us=window.life_us,
        scale=scale,
        real_in=real,
        real=is_float(aggregate.kind),
        parameter=parameter,
    )
