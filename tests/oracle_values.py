"""What an expression is worth at a place in the stream: the oracle's evaluator, three-valued (None is unknown).

The rule it keeps: a value is a function of the events that stand before the place and of what the run has captured,
found by looking at all of them each time.
"""

from __future__ import annotations

import ipaddress
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

import re2

from cep.lang.checked.expressions import (
    Aggregate,
    CaptureAggregate,
    CaptureRef,
    Const,
    Expr,
    FieldRef,
    GroupCapture,
    KeyRef,
    LatestRef,
    Op,
    Source,
    Window,
)
from cep.lang.checked.schema import EWMA_HALVINGS, Kind
from tests import oracle_tables as tables
from tests.oracle_calendar import end_of_stretch

Value = object  # str, int, float, bool, or None for null
Key = tuple[Value, ...]

MONEY_UNIT = 10_000
EARTH_RADIUS_KM = 6371.0088
UNIT_US = {"hours": 3_600_000_000, "minutes": 60_000_000, "seconds": 1_000_000, "days": 86_400_000_000}


@dataclass(frozen=True)
class OracleEvent:
    """An event: its root event's index, its time, and its root fields in their kind's unit; a missing field is null.

    An event that is an alert is of some other root events too, and of none (-1) if no rule listens.
    """

    event: int
    time_us: int
    values: dict[str, Value]
    of: tuple[int, ...] = ()
    alert: Outcome | None = None


@dataclass(frozen=True)
class Outcome:
    """A match, or an episode that opens or resolves, and by which clause it alerts.

    `captured`: ordinals by positive step, and in the place of an event that is an alert its outcome; () in a `while`.
    `place`: where what it says is judged.
    """

    rule: str
    status: str  # "fired" or "resolved"
    time_us: int
    key: Key
    captured: tuple[tuple[int | Outcome, ...], ...]
    clause: int = 0
    place: Place | None = field(default=None, compare=False, repr=False)


@dataclass
class Counters:
    """What the laws count instead of keeping it silent."""

    runs_dropped: int = 0  # for `max`
    matches_cut: int = 0  # events that completed more matches than `max`
    episodes_forgotten: int = 0  # open when their key was forgotten
    without_key: int = 0  # (rule, event) pairs in which some part of the key was null
    conditional: int = 0  # no clause held
    limited: int = 0  # `limit` had let enough through
    shadow: int = 0  # alerts of shadow rules


@dataclass(frozen=True)
class Ranked:
    """An outcome and its place among the others: (time, deadline 0 or event 1, place, rule, start)."""

    rank: tuple[int, int, int, int, int]
    outcome: Outcome


class Place(NamedTuple):
    """Where an expression is judged.

    `ordinal` is the event judged, None when there is none (a window's element left). Aggregates speak of the events
    of `key` with `since` <= ordinal < `before`, at the time `now_us`. `captured` is by index into `When.steps`.
    `blind`: every window is null.
    """

    events: Sequence[OracleEvent]
    key: Key
    ordinal: int | None
    now_us: int
    since: int
    before: int
    captured: Mapping[int, Sequence[int]] = MappingProxyType({})
    blind: bool = False

    def of(self, ordinal: int) -> Place:
        """The place of another event of the same instant."""
        return Place(self.events, self.key, ordinal, self.now_us, self.since, self.before, self.captured, self.blind)

    def when(self, ordinal: int) -> Place:
        """The place of an event when it came."""
        now_us = self.events[ordinal].time_us
        return Place(self.events, self.key, ordinal, now_us, self.since, ordinal, self.captured, self.blind)


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


def is_of(source: Source, event: OracleEvent) -> bool:
    """Whether it is one of the source's root event."""
    return source.event == event.event or source.event in event.of


def passes(source: Source, ordinal: int, place: Place) -> bool:
    """Whether the event is one of the source's with the place's key; its filter is judged at the event itself."""
    event = place.events[ordinal]
    if not is_of(source, event) or key_of(source, event) != place.key:
        return False
    return source.where is None or value(source.where, place.when(ordinal)) is True


def counted(aggregate: Aggregate, place: Place) -> list[int]:
    """The ordinals of all events that can count in the aggregate, in order: a null argument does not count."""
    return [
        x
        for x in range(place.since, place.before)
        if passes(aggregate.source, x, place)
        and (aggregate.argument is None or value(aggregate.argument, place.of(x)) is not None)
    ]


def window(aggregate: Aggregate, place: Place) -> list[int]:
    """The ordinals of the events that count at the place's instant, in order."""
    over = aggregate.window
    found = [x for x in counted(aggregate, place) if enters_at(over, place.events[x].time_us) <= place.now_us]
    if over.since is not None:
        resets = [x for x in range(place.since, place.before) if passes(over.since, x, place)]
        found = [x for x in found if not resets or x > resets[-1]]
    if over.form == "session":
        found = session(over, found, place)
    else:
        found = [x for x in found if place.now_us < leaves_at(over, place.events[x].time_us)]
    return found[-over.count :] if over.count else found


def session(over: Window, ordinals: list[int], place: Place) -> list[int]:
    """Those since the last gap of the session's length; none when it has ended."""
    times = [place.events[x].time_us + over.offset_us for x in ordinals]
    if not times or times[-1] + over.length_us <= place.now_us:
        return []
    first = len(times) - 1
    while first > 0 and times[first] - times[first - 1] < over.length_us:
        first -= 1
    return ordinals[first:]


def changes_at(aggregate: Aggregate, time_us: int) -> list[int]:
    """The instants after an event's own at which the event may enter or leave the window."""
    over = aggregate.window
    if over.form == "session":
        return [time_us + over.offset_us, time_us + over.length_us + over.offset_us]
    return [enters_at(over, time_us), leaves_at(over, time_us)]


def enters_at(over: Window, time_us: int) -> int:
    """When an event of that time enters a window: at once, at the next multiple of the step, or later by the offset."""
    if over.form == "every":
        time_us = (time_us // over.step_us + 1) * over.step_us
    return time_us + over.offset_us


def leaves_at(over: Window, time_us: int) -> int:
    """When an event of that time leaves a window in which each leaves by itself, or one of the calendar."""
    if over.form == "each":
        return end_of_stretch(over.zone, over.length_us, time_us) + over.offset_us
    time_us += over.length_us
    if over.form == "every":
        time_us = (time_us // over.step_us + 1) * over.step_us
    return time_us + over.offset_us


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
        case Aggregate() if place.blind:
            return None
        case Aggregate() if expr.by is not None and place.ordinal is not None:
            own = tuple(_field(place.events[place.ordinal], ref.field) for ref in expr.by)
            return None if None in own else value(replace(expr, by=None), place._replace(key=own))
        case LatestRef():
            latest = [x for x in range(place.since, place.before) if passes(expr.source, x, place)]
            return _field(place.events[latest[-1]], expr.field) if latest else None
        case Aggregate():
            return _over_window(expr, place)
        case Op():
            return _operation(expr, place)


def _field(event: OracleEvent, name: str) -> Value:
    return event.time_us if name == "time" else event.values.get(name)


# ------------------------------------------------------------------------------------- aggregates


def _over_window(expr: Aggregate, place: Place) -> Value:
    ordinals = window(expr, place)
    if expr.function == "new":
        return _is_new(expr, ordinals, place)
    if expr.function == "ewma":
        return _moving_average(expr, ordinals, place)
    return _aggregate(expr.function, expr.argument, ordinals, place)


def _is_new(expr: Aggregate, ordinals: list[int], place: Place) -> Value:
    """Whether the judged event's value is not among those before; in a condition, the latest's when it entered."""
    assert expr.argument is not None
    if place.ordinal is not None:
        own = value(expr.argument, place)
        return None if own is None else own not in [value(expr.argument, place.of(x)) for x in ordinals]
    if not ordinals:
        return None
    latest = ordinals[-1]
    entered_us = enters_at(expr.window, place.events[latest].time_us)
    before = window(expr, place._replace(now_us=entered_us, before=latest))
    own = value(expr.argument, place.of(latest))
    return own not in [value(expr.argument, place.of(x)) for x in before]


def _moving_average(expr: Aggregate, ordinals: list[int], place: Place) -> Value:
    """The recursion of docs/semantics.md, over everything since the last long gap."""
    assert expr.argument is not None
    half_life_us = expr.window.length_us // EWMA_HALVINGS
    mean = weight = last_us = None
    for x in ordinals:
        number = _as_number(value(expr.argument, place.of(x)), expr.argument.kind)
        time_us = place.events[x].time_us
        if mean is None:
            mean, weight = number, 1.0
        else:
            weight = weight * 2.0 ** (-(time_us - last_us) / half_life_us) + 1.0
            mean += (number - mean) / weight
        last_us = time_us
    return mean


def _aggregate(function: str, argument: Expr | None, ordinals: Sequence[int], place: Place) -> Value:
    if argument is None:
        assert function == "count"
        return len(ordinals)
    every = [(value(argument, place.of(x)), place.events[x].time_us) for x in ordinals]
    return _of_values(function, every, argument.kind)


def _of_group(expr: GroupCapture, place: Place) -> Value:
    """Over all events that the steps of a group captured, in the order of capture."""
    captured = sorted((x, i) for i, step in enumerate(expr.steps) for x in place.captured.get(step, ()))
    if not expr.arguments:
        return len(captured)
    every = [(value(expr.arguments[i], place.of(x)), place.events[x].time_us) for x, i in captured]
    if expr.function in ("of_first", "of_last"):
        return (every or [(None, 0)])[0 if expr.function == "of_first" else -1][0]
    return _of_values(expr.function, every, expr.arguments[0].kind)


def _of_values(function: str, every: Sequence[tuple[Value, int]], kind: Kind) -> Value:
    pairs: list = [(v, t) for v, t in every if v is not None]
    values = [v for v, _ in pairs]
    if function == "count":
        return len(values)
    if function == "count_distinct":
        return len(set(values))
    if function == "sum":
        return _total(values, kind)
    if function == "changes":
        return sum(a != b for a, b in itertools.pairwise(values))
    if not values:
        return None
    if function == "increase":
        return _total([b - a if b >= a else b for a, b in itertools.pairwise(values)], kind)
    if function == "slope":
        return _slope(pairs, kind)
    if function in ("avg", "stddev", "zscore"):
        return _statistic(function, values, kind)
    if function[0] == "p" and function[1:].isdigit():
        return sorted(values)[math.ceil(Fraction(len(values) * int(function[1:]), 100)) - 1]
    return CHOICES[function](values)


def _top(values: list) -> Value:
    """The most frequent; of several, the one seen last."""
    return max(values, key=lambda v: (values.count(v), max(i for i, other in enumerate(values) if other == v)))


CHOICES: dict[str, Callable[[list], Value]] = {
    "min": min,
    "max": max,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "prev": lambda values: values[-2] if len(values) > 1 else None,
    "top": _top,
}


def _statistic(function: str, values: list, kind: Kind) -> Value:
    if function == "avg":
        return _as_number(_total(values, kind), kind) / len(values)
    if function == "stddev":
        return math.sqrt(_spread(values, values)) / len(values) / _unit(kind)
    *others, newest = values
    spread = _spread(others, others)
    if spread == 0:
        return None
    return float(len(others) * Fraction(newest) - sum(map(Fraction, others))) / math.sqrt(spread)


def _slope(pairs: list, kind: Kind) -> Value:
    """Per second, by least squares."""
    values, times = zip(*pairs, strict=True)
    spread = _spread(times, times)
    return _spread(times, values) / spread * 1e6 / _unit(kind) if spread else None


def _spread(xs: Sequence, ys: Sequence) -> float:
    """n·Σxy − Σx·Σy, exactly, then rounded."""
    exact = [(Fraction(x), Fraction(y)) for x, y in zip(xs, ys, strict=True)]
    return float(len(exact) * sum(x * y for x, y in exact) - sum(x for x, _ in exact) * sum(y for _, y in exact))


def _unit(kind: Kind) -> int:
    return MONEY_UNIT if kind is Kind.MONEY else 1


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
    if expr.name == "given":
        return args[0] if args[1] is True else None
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


OPERATIONS: dict[str, Callable] = (
    {
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
        "text_lt": lambda text, constant: text < constant,
        "text_le": lambda text, constant: text <= constant,
        "text_gt": lambda text, constant: text > constant,
        "text_ge": lambda text, constant: text >= constant,
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
    }
    | tables.OPERATIONS
    | {unit: lambda duration, us=us: duration / us for unit, us in UNIT_US.items()}
)
