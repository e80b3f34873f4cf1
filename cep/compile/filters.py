"""Filters on one event as an index: what is asked of many rules' events at once, and of one without an evaluator.

The index looks at the column that most of the filters compare with a constant for equality, at the one that most of
them bound, and asks an expression for whatever else they say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cep.compile.expressions import COMPARISONS, Coder, all_of, is_float
from cep.lang.checked.expressions import Const, Expr, FieldRef, Op
from cep.lang.checked.schema import Kind
from cep.layout.expressions import FilterIndex, IndexedFilter, Opcode

_MIRRORED = {"eq": "eq", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A field of the event on the left of a comparison with a constant of its kind."""

    field: FieldRef
    name: str
    const: Const


def _comparison(condition: Expr) -> _Comparison | None:
    if not isinstance(condition, Op) or condition.name not in _MIRRORED:
        return None
    left, right = condition.args
    name = condition.name
    if isinstance(left, Const):
        left, right, name = right, left, _MIRRORED[name]
    if isinstance(left, FieldRef) and isinstance(right, Const) and left.kind is right.kind:
        return _Comparison(left, name, right)
    return None


def filter_index(coder: Coder, event: int, filters: Sequence[list[Expr]]) -> FilterIndex:
    """The index of some filters on `event`, each by its conjuncts, which speak of nothing but the event."""
    compared = [[c for part in conditions if (c := _comparison(part)) is not None] for conditions in filters]
    equal = _commonest([c.field for own in compared for c in own if c.name == "eq" and not is_float(c.field.kind)])
    bounded = [c.field for own in compared for c in own if c.field != equal and c.field.kind is not Kind.TEXT]
    ordered = _commonest(bounded)
    slot = coder.event_load
    return FilterIndex(
        -1 if equal is None else slot(equal)[1],
        -1 if ordered is None else slot(ordered)[1],
        ordered is not None and is_float(ordered.kind),
        tuple(_indexed(coder, conditions, equal, ordered) for conditions in filters),
    )


def _commonest(fields: Sequence[FieldRef]) -> FieldRef | None:
    return Counter(fields).most_common(1)[0][0] if fields else None


def _indexed(
    coder: Coder, conditions: Sequence[Expr], equal: FieldRef | None, ordered: FieldRef | None
) -> IndexedFilter:
    equals, bounds, others = -1, list[tuple[Opcode, int, bool]](), list[Expr]()
    for condition in conditions:
        found = _comparison(condition)
        if found is not None and found.field == equal and found.name == "eq" and equals < 0:
            equals = coder.constant(found.const)
        elif found is not None and found.field == ordered:
            integer, real, flipped = COMPARISONS[found.name]
            opcode = real if is_float(found.field.kind) else integer
            bounds.append((opcode, coder.constant(found.const), flipped))
        else:
            others.append(condition)
    rest = all_of(others)
    code = -1 if rest is None else coder.expression(rest, coder.event_load)
    return IndexedFilter(equals, tuple(bounds), code)
