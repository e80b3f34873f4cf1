"""What an expression is worth at a place in the stream: the oracle's evaluator, three-valued (None is unknown).

The rule it keeps: a value is a function of the events that stand before the place and of what the run has captured,
found by looking at all of them each time.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import re2

from cep.lang.checked import (
    Aggregate,
    CaptureAggregate,
    CaptureRef,
    Const,
    Expr,
    FieldRef,
    GroupCapture,
    KeyRef,
    Kind,
    LatestRef,
    Op,
    Source,
)

Value = object  # str, int, float, bool, or None for null
Key = tuple[Value, ...]

MONEY_UNIT = 10_000
EARTH_RADIUS_KM = 6371.0088
UNIT_US = {"hours": 3_600_000_000, "minutes": 60_000_000, "seconds": 1_000_000, "days": 86_400_000_000}


@dataclass(frozen=True)
class OracleEvent:
    """An event: its root event's index, its time, and its root fields in their kind's unit; a missing field is null."""

    event: int
    time_us: int
    values: dict[str, Value]


@dataclass(frozen=True)
class Outcome:
    """A match, or an episode that opens or resolves. `captured`: ordinals by positive step; () in a `while`."""

    rule: str
    status: str  # "fired" or "resolved"
    time_us: int
    key: Key
    captured: tuple[tuple[int, ...], ...]


@dataclass
class Counters:
    """What the laws count instead of keeping it silent."""

    runs_dropped: int = 0  # for `max`
    episodes_forgotten: int = 0  # open when their key was forgotten
    without_key: int = 0  # (rule, event) pairs in which some part of the key was null


@dataclass(frozen=True)
class Ranked:
    """An outcome and its place among the others: (time, deadline 0 or event 1, place, rule, start)."""

    rank: tuple[int, int, int, int, int]
    outcome: Outcome


@dataclass(frozen=True)
class Place:
    """Where an expression is judged.

    `ordinal` is the event judged, None when there is none (a window's element left). Aggregates speak of the events
    of `key` with `since` <= ordinal < `before`, at the time `now_us`. `captured` is by index into `When.steps`.
    """

    events: Sequence[OracleEvent]
    key: Key
    ordinal: int | None
    now_us: int
    since: int
    before: int
    captured: Mapping[int, Sequence[int]] = field(default_factory=dict)


def walk(expr: Expr | None) -> Iterator[Expr]:
    """The expression and every operand inside it; not the filters and arguments of its aggregates."""
    if expr is None:
        return
    yield expr
    if isinstance(expr, Op):
        for arg in expr.args:
            yield from walk(arg)


def key_of(source: Source, event: OracleEvent) -> Key | None:
    """The event's key as this source sees it; None when some part of it is null (law 9)."""
    key = tuple(_field(event, ref.field) for ref in source.key)
    return None if None in key else key


def passes(source: Source, ordinal: int, place: Place) -> bool:
    """Whether the event is one of the source's with the place's key; its filter is judged at the event itself."""
    event = place.events[ordinal]
    if event.event != source.event or key_of(source, event) != place.key:
        return False
    at = replace(place, ordinal=ordinal, now_us=event.time_us, before=ordinal)
    return source.where is None or value(source.where, at) is True


def window(aggregate: Aggregate, place: Place) -> list[int]:
    """The ordinals of the events that count in the aggregate, in order: a null argument does not count."""
    return [
        x
        for x in range(place.since, place.before)
        if place.events[x].time_us + aggregate.window_us > place.now_us
        and passes(aggregate.source, x, place)
        and (aggregate.argument is None or value(aggregate.argument, replace(place, ordinal=x)) is not None)
    ]


def value(expr: Expr, place: Place) -> Value:
    """The expression's value in its kind's unit, None when it is null or unknown."""
    match expr:
        case Const():
            return expr.value
        case FieldRef():
            assert place.ordinal is not None
            return _field(place.events[place.ordinal], expr.field)
        case KeyRef():
            return place.key[expr.index]
        case CaptureRef():
            captured = place.captured.get(expr.step, ())
            if not captured:
                return None
            return _field(place.events[captured[0 if expr.which == "first" else -1]], expr.field)
        case CaptureAggregate():
            return _aggregate(expr.function, expr.argument, place.captured.get(expr.step, ()), place)
        case GroupCapture():
            return _of_group(expr, place)
        case LatestRef():
            latest = [x for x in range(place.since, place.before) if passes(expr.source, x, place)]
            return _field(place.events[latest[-1]], expr.field) if latest else None
        case Aggregate():
            return _aggregate(expr.function, expr.argument, window(expr, place), place)
        case Op():
            return _operation(expr, place)


def _field(event: OracleEvent, name: str) -> Value:
    return event.time_us if name == "time" else event.values.get(name)


# ------------------------------------------------------------------------------------- aggregates


def _aggregate(function: str, argument: Expr | None, ordinals: Sequence[int], place: Place) -> Value:
    if argument is None:
        assert function == "count"
        return len(ordinals)
    return _of_values(function, [value(argument, replace(place, ordinal=x)) for x in ordinals], argument.kind)


def _of_group(expr: GroupCapture, place: Place) -> Value:
    """Over all events that the steps of a group captured, in the order of capture."""
    captured = sorted((x, i) for i, step in enumerate(expr.steps) for x in place.captured.get(step, ()))
    if not expr.arguments:
        return len(captured)
    every = [value(expr.arguments[i], replace(place, ordinal=x)) for x, i in captured]
    if expr.function in ("of_first", "of_last"):
        return (every or [None])[0 if expr.function == "of_first" else -1]
    return _of_values(expr.function, every, expr.arguments[0].kind)


def _of_values(function: str, every: Sequence[Value], kind: Kind) -> Value:
    values: list = [v for v in every if v is not None]
    if function == "count":
        return len(values)
    if function == "count_distinct":
        return len(set(values))
    if function == "sum":
        return _total(values, kind)
    if not values:
        return None
    if function == "avg":
        return _as_number(_total(values, kind), kind) / len(values)
    return {"min": min, "max": max, "first": lambda v: v[0], "last": lambda v: v[-1]}[function](values)


def _total(values: list, kind: Kind):
    return math.fsum(values) if kind is Kind.NUMBER else sum(values)


def _as_number(amount: float, kind: Kind) -> float:
    return amount / MONEY_UNIT if kind is Kind.MONEY else float(amount)


# ------------------------------------------------------------------------------------- operations


def _operation(expr: Op, place: Place) -> Value:
    args = [value(arg, place) for arg in expr.args]
    if expr.name == "missing":
        return args[0] is None
    if expr.name == "and":
        return False if False in args else None if None in args else True
    if expr.name == "or":
        return True if True in args else None if None in args else False
    if None in args:
        return None
    if expr.name in ("div", "convert"):
        kinds = [arg.kind for arg in expr.args]
        return _divide(args, kinds) if expr.name == "div" else _convert(args[0], kinds[0], expr.kind)
    if expr.name in ("round", "floor", "ceil"):
        return _rounded(expr, args[0])
    return OPERATIONS[expr.name](*args)


def _divide(args: list, kinds: list[Kind]) -> float | None:
    dividend, divisor = (_as_number(arg, kind) for arg, kind in zip(args, kinds, strict=True))
    return dividend / divisor if divisor != 0 else None


def _convert(amount, source: Kind, target: Kind):
    if target is Kind.NUMBER:
        return _as_number(amount, source)
    assert (source, target) == (Kind.INTEGER, Kind.MONEY)
    return amount * MONEY_UNIT


def _rounded(expr: Op, amount):
    """To whole units, halves to even; in the operation's kind."""
    whole = {"round": round, "floor": math.floor, "ceil": math.ceil}[expr.name](_as_number(amount, expr.args[0].kind))
    return {Kind.MONEY: whole * MONEY_UNIT, Kind.NUMBER: float(whole)}.get(expr.kind, whole)


def _cidr(address: str, network: str) -> bool:
    """Whether the address lies in the network; text that is no address lies in none."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """The great circle between two places in degrees, by the haversine formula."""
    lat1, lon1, lat2, lon2 = map(math.radians, (lat1, lon1, lat2, lon2))
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, h)))


OPERATIONS: dict[str, Callable] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "mod": lambda a, b: a % b if b != 0 else None,
    "neg": lambda a: -a,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "not": lambda a: not a,
    "in": lambda a, *members: a in members,
    "matches": lambda text, pattern: re2.search(pattern, text) is not None,
    "starts_with": lambda text, prefix: text.startswith(prefix),
    "ends_with": lambda text, suffix: text.endswith(suffix),
    "contains": lambda text, part: part in text,
    "cidr": _cidr,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "length": len,
    "abs": abs,
    "sqrt": lambda a: math.sqrt(a) if a >= 0 else None,
    "ln": lambda a: math.log(a) if a > 0 else None,
    "log10": lambda a: math.log10(a) if a > 0 else None,
    "min2": min,
    "max2": max,
    "km": _km,
} | {unit: lambda duration, us=us: duration / us for unit, us in UNIT_US.items()}
