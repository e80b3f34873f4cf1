"""The functions of the language: their arguments and what they give.

Each entry of `FUNCTIONS` takes typed arguments and gives the typed operation, or raises `KindError`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from cep.lang.checked.expressions import Aggregate, CaptureAggregate, Const, Expr, Op
from cep.lang.checked.schema import Kind
from cep.lang.operators import KindError, article, to_number, unify

PERCENTILES = frozenset(f"p{percent}" for percent in range(1, 100))
AGGREGATES = (
    "count", "sum", "avg", "min", "max", "first", "last", "prev", "stddev", "median", "rate", "changes", "slope",
    "zscore", "ewma", "top", "new", *sorted(PERCENTILES),
)  # fmt: skip
_STATISTICS = ("sum", "avg", "stddev", "slope", "zscore", "ewma", "rate")
_COUNTS = ("count", "count_distinct", "changes")
CALENDAR = ("hour_of", "weekday_of", "day_of")


def _number(name: str) -> Callable[..., Expr]:
    return lambda *args: Op(name, tuple(to_number(arg) for arg in args), Kind.NUMBER)


def _whole(name: str) -> Callable[[Expr], Expr]:
    return lambda x: x if x.kind is Kind.INTEGER else Op(name, (to_number(x),), Kind.NUMBER)


def _absolute(x: Expr) -> Expr:
    return Op("abs", (x if x.kind in (Kind.INTEGER, Kind.MONEY, Kind.DURATION) else to_number(x),), x.kind)


def _extreme(name: str) -> Callable[[Expr, Expr], Expr]:
    def build(a: Expr, b: Expr) -> Expr:
        a, b = unify(a, b, "CEP201")
        if a.kind in (Kind.TEXT, Kind.FLAG):
            raise KindError("CEP201", f"{article(a.kind)} has no order")
        return Op(name, (a, b), a.kind)

    return build


def _of(name: str, kind: Kind, result: Kind) -> Callable[[Expr], Expr]:
    def build(x: Expr) -> Expr:
        if x.kind is not kind:
            hint = "the difference of two times is a duration" if kind is Kind.DURATION else None
            raise KindError("CEP201", f"{name}() takes {article(kind)}, and this is {article(x.kind)}", hint)
        if kind is Kind.TEXT:
            _refuse_top(name, x)
        if isinstance(x, Const) and kind is Kind.TEXT:
            return Const(_TEXT[name](str(x.value)), result)
        return Op(name, (x,), result)

    return build


def _refuse_top(name: str, x: Expr) -> None:
    """Windows hold the texts that are compared, so a text is changed before it is counted."""
    if isinstance(x, Aggregate | CaptureAggregate) and x.function == "top":
        raise KindError("CEP349", f'"{name}" stands inside of top()', f"as in top({name}(…)); or compare it with ==")


def text_operator(name: str, x: Expr, pattern: Expr) -> Expr:
    """`x matches "…"` and the other operators on text, of which the right side is a constant."""
    _refuse_top(name, x)
    shown = name.replace("_", " ")
    for operand in (x, pattern):
        if operand.kind is not Kind.TEXT:
            raise KindError("CEP201", f'"{shown}" takes text, and this is {article(operand.kind)}')
    if not isinstance(pattern, Const):
        raise KindError("CEP207", f'what stands after "{shown}" must be a constant')
    if name == "matches":
        _check_pattern(str(pattern.value))
    if isinstance(x, Const):
        return Const(_TESTS[name](str(x.value), str(pattern.value)), Kind.FLAG)
    return Op(name, (x, pattern), Kind.FLAG)


def _check_pattern(pattern: str) -> None:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0]
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        raise KindError("CEP208", f"the pattern is not valid: {reason}") from None


def _cidr(x: Expr, network: Expr) -> Expr:
    if isinstance(network, Const) and network.kind is Kind.TEXT:
        try:
            ipaddress.ip_network(str(network.value), strict=False)
        except ValueError:
            raise KindError("CEP208", f'"{network.value}" is not a network', 'write it as "10.0.0.0/8"') from None
    return text_operator("cidr", x, network)


def _found(text: str, pattern: str) -> bool:
    import re2

    return re2.search(pattern, text) is not None


def _inside(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


# What the operations give for a constant, which the engine never sees.
_TEXT: dict[str, Callable[[str], str | int]] = {"lower": str.lower, "upper": str.upper, "length": len}
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "matches": _found,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": str.__contains__,
    "cidr": _inside,
}


def known_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # an unknown one, a folder of zones, a name that is none
        return False
    return True


def _calendar(name: str) -> Callable[[Expr, Expr], Expr]:
    def build(time: Expr, zone: Expr) -> Expr:
        if time.kind is not Kind.TIME or zone.kind is not Kind.TEXT:
            hint = f'as in {name}(time, "Europe/Berlin")'
            raise KindError("CEP201", f"{name}() takes a time and the name of a zone", hint)
        if not isinstance(zone, Const):
            raise KindError("CEP207", "the zone must be a constant")
        if not known_zone(str(zone.value)):
            raise KindError("CEP120", f'there is no time zone "{zone.value}"', 'as in "Europe/Berlin" or "UTC"')
        return Op(name, (time, zone), Kind.INTEGER)

    return build


def _missing(x: Expr) -> Expr:
    return Op("missing", (x,), Kind.FLAG)


FUNCTIONS: dict[str, tuple[int, Callable[..., Expr]]] = {
    "missing": (1, _missing),
    "km": (4, _number("km")),
    "cidr": (2, _cidr),
    **{name: (1, _of(name, Kind.DURATION, Kind.NUMBER)) for name in ("hours", "minutes", "seconds", "days")},
    "abs": (1, _absolute),
    **{name: (1, _whole(name)) for name in ("round", "floor", "ceil")},
    **{name: (1, _number(name)) for name in ("sqrt", "ln", "log10")},
    "min2": (2, _extreme("min2")),
    "max2": (2, _extreme("max2")),
    "lower": (1, _of("lower", Kind.TEXT, Kind.TEXT)),
    "upper": (1, _of("upper", Kind.TEXT, Kind.TEXT)),
    "length": (1, _of("length", Kind.TEXT, Kind.INTEGER)),
    **{name: (2, _calendar(name)) for name in CALENDAR},
}


def apply(name: str, args: Sequence[Expr]) -> Expr:
    """`name(args)`. Raises KindError when the arguments do not fit."""
    count, build = FUNCTIONS[name]
    if len(args) != count:
        raise KindError("CEP203", f"{name}() takes {count} argument{'s' if count > 1 else ''}, and has {len(args)}")
    return build(*args)


def aggregate_kind(function: str, argument: Expr | None) -> Kind:
    """The kind that an aggregate of this argument has. Raises KindError when it has none."""
    if function in _COUNTS:
        return Kind.INTEGER
    if argument is None or function == "new":
        return Kind.NUMBER if argument is None else Kind.FLAG
    kind = argument.kind
    if function in ("first", "last", "prev", "top"):
        return kind
    ordered = function in ("min", "max") or function in PERCENTILES
    if ordered and kind in (Kind.INTEGER, Kind.NUMBER, Kind.MONEY, Kind.TIME, Kind.DURATION):
        return kind
    if function in _STATISTICS and kind in (Kind.INTEGER, Kind.NUMBER, Kind.MONEY, Kind.DURATION):
        if kind is Kind.DURATION:
            raise KindError("CEP204", f"{function}() takes numbers", "seconds(x) makes a number of a duration")
        return kind if function == "sum" else Kind.NUMBER
    raise KindError("CEP204", f"{function}() of {article(kind)} has no meaning")
