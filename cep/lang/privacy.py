"""Which values may not leave in clear: those that carry a field declared `mask` or `hash`.

The rule it keeps: whatever an expression is made of is private with it, except what is only learned *about* a value:
how long it is, how many there were, and whether it passes a test. `mask` is stricter than `hash`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass

from cep.lang.checked.expressions import (
    Aggregate,
    CaptureAggregate,
    CaptureRef,
    Expr,
    FieldRef,
    KeyRef,
    LatestRef,
    Op,
    Source,
)
from cep.lang.checked.rules import Key
from cep.lang.checked.schema import Event, Kind

Privacy = str | None  # None, "hash" or "mask"
_STRICTEST = ("mask", "hash", None)
_ABOUT = ("count", "count_distinct", "changes", "new", "length")  # say nothing of what the value is


def strictest(found: Iterable[Privacy]) -> Privacy:
    """The strictest of some; None of none."""
    return min(found, key=_STRICTEST.index, default=None)


def of_field(events: Sequence[Event], event: int, name: str) -> Privacy:
    """How a field of a root event was declared."""
    return next((field.privacy for field in events[event].fields if field.name == name), None)


def privacy(expr: Expr, events: Sequence[Event], keys: Sequence[Key]) -> Privacy:
    """What the value of an expression carries."""
    match expr:
        case KeyRef(index=index):
            return keys[index].privacy
        case FieldRef(event=event, field=name) | CaptureRef(event=event, field=name):
            return of_field(events, event, name)
        case LatestRef(source=source, field=name):
            return of_field(events, source.event, name)
        case Aggregate(argument=argument) | CaptureAggregate(argument=argument):
            return None if argument is None or expr.function in _ABOUT else privacy(argument, events, keys)
        case Op(name=name, args=args) if name not in _ABOUT and not _is_test(expr):
            return strictest(privacy(arg, events, keys) for arg in args)
        case _:
            return None


def _is_test(op: Op) -> bool:
    """Whether it only says that a value passes; what is made of flags carries them."""
    return op.kind is Kind.FLAG and (op.name == "missing" or all(arg.kind is not Kind.FLAG for arg in op.args))


def of_key(part: object, events: Sequence[Event], index: int) -> Privacy:
    """What part `index` of the key carries that every source in a checked value has."""
    refs = [source.key[index] for source in _sources(part) if index < len(source.key)]
    return strictest(of_field(events, ref.event, ref.field) for ref in refs)


def _sources(part: object) -> Iterable[Source]:
    waiting = [part]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Source):
            yield node
        if isinstance(node, tuple):
            waiting += node
        elif is_dataclass(node):
            waiting += [getattr(node, field.name) for field in fields(node)]
