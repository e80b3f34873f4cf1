"""Typed operations: which kinds go together, what they become, and the conversions written out.

Rules it keeps: money stays exact (a literal beside it becomes money or is refused); numbers that a whole number meets
become a NUMBER; nothing is compared across kinds. Operations on constants are carried out here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal

from cep.lang.checked.expressions import Const, Expr, Op
from cep.lang.checked.schema import Kind

MONEY_UNITS = 10_000
_INT64 = 2**63
_EXACT_DIGITS = 15  # a float literal of so many digits stands for one decimal number only
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NUMERIC = (Kind.INTEGER, Kind.NUMBER, Kind.MONEY)
_COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
_ORDER: dict[str, Callable[[str, str], bool]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod"}
_FOLD: dict[str, Callable[[float, float], float]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "mod": operator.mod,
}


class KindError(Exception):
    """Operands that do not go together; the caller knows the place."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


# --------------------------------------------------------------------------------- conversions


def to_number(value: Expr) -> Expr:
    """A whole number, money or a number as NUMBER."""
    if value.kind is Kind.NUMBER:
        return value
    if value.kind not in _NUMERIC:
        raise KindError("CEP201", f"a number is needed here, and this is {article(value.kind)}")
    if isinstance(value, Const):
        scale = MONEY_UNITS if value.kind is Kind.MONEY else 1
        return Const(int(value.value) / scale, Kind.NUMBER)
    return Op("convert", (value,), Kind.NUMBER)


def to_money(value: Expr) -> Expr:
    """Money as it is, a constant or a whole number as MONEY. A NUMBER that is no constant cannot be made exact."""
    if value.kind is Kind.MONEY:
        return value
    if isinstance(value, Const) and value.kind in _NUMERIC:
        return Const(money_units(value.value), Kind.MONEY)
    assert value.kind is Kind.INTEGER
    return Op("convert", (value,), Kind.MONEY)


def money_units(value: object) -> int:
    """The 1/10,000 units of a literal. Raises KindError when it is not exact in four decimals."""
    decimal = Decimal(repr(value))
    units = decimal * MONEY_UNITS
    if isinstance(value, float) and len(decimal.as_tuple().digits) > _EXACT_DIGITS:
        raise KindError("CEP205", f"money of more than {_EXACT_DIGITS} digits cannot be written exactly")
    if units != units.to_integral_value():
        raise KindError("CEP205", f"money has at most four decimals, and {value} has more", "round it")
    if abs(units) >= _INT64:
        raise KindError("CEP205", f"{value} is more money than fits in 64 bits")
    return int(units)


def time_us(text: str) -> int:
    """The microseconds since 1970 of an RFC 3339 time. Raises KindError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise KindError("CEP201", f'"{text[:40]}" is not a time', 'write it as "2025-01-31T12:00:00Z"')
    return (moment - _EPOCH) // timedelta(microseconds=1)


def unify(a: Expr, b: Expr, code: str = "CEP202") -> tuple[Expr, Expr]:
    """Both operands in one kind. Raises KindError with `code` when they have none in common."""
    if a.kind is b.kind:
        return a, b
    kinds = {a.kind, b.kind}
    if kinds <= {Kind.INTEGER, Kind.NUMBER}:
        return to_number(a), to_number(b)
    if Kind.MONEY in kinds and kinds <= set(_NUMERIC):
        other = b if a.kind is Kind.MONEY else a
        if other.kind is Kind.NUMBER and not isinstance(other, Const):
            return to_number(a), to_number(b)
        return to_money(a), to_money(b)
    if kinds == {Kind.TIME, Kind.TEXT}:
        text = a if a.kind is Kind.TEXT else b
        if isinstance(text, Const):
            time = Const(time_us(str(text.value)), Kind.TIME)
            return (time, b) if text is a else (a, time)
    raise KindError(code, f"{article(a.kind)} and {article(b.kind)} do not go together", _mixed_hint(kinds))


def _mixed_hint(kinds: set[Kind]) -> str | None:
    if Kind.DURATION in kinds and kinds & set(_NUMERIC):
        return "a duration is written 5m, and minutes(x) makes a number of it"
    if Kind.TEXT in kinds and kinds & set(_NUMERIC):
        return "text stands in double quotes, a number does not"
    if kinds == {Kind.FLAG, Kind.TEXT}:
        return "a flag is true or false, without quotes"
    return None


def article(kind: Kind) -> str:
    """The kind in a sentence: `an integer`, `text`."""
    name: str = kind.value
    if kind in (Kind.TEXT, Kind.MONEY):
        return name
    return f"an {name}" if kind is Kind.INTEGER else f"a {name}"


# ---------------------------------------------------------------------------------- operations


def compare(sign: str, a: Expr, b: Expr) -> Expr:
    """`a == b` and the others, by the sign that the author wrote."""
    name = _COMPARISONS[sign]
    a, b = unify(a, b)
    if name not in ("eq", "ne"):
        if a.kind is Kind.FLAG:
            raise KindError("CEP201", "a flag has no order", 'it is compared with "==" and "!="')
        if a.kind is Kind.TEXT:
            return _order_of_text(name, a, b)
    return Op(name, (a, b), Kind.FLAG)


def _order_of_text(name: str, a: Expr, b: Expr) -> Expr:
    """Text before or after a constant, by code points: worked out once for each distinct text, as other tests of it."""
    if isinstance(a, Const):
        name, a, b = _MIRRORED[name], b, a
    if not isinstance(b, Const):
        raise KindError("CEP207", "the order of text is asked of a constant only", 'as in: name < "m"')
    if isinstance(a, Const):
        return Const(_ORDER[name](str(a.value), str(b.value)), Kind.FLAG)
    return Op(f"text_{name}", (a, b), Kind.FLAG)


def between(value: Expr, low: Expr, high: Expr) -> Expr:
    """`value between low and high`, both ends included."""
    return Op("and", (compare(">=", value, low), compare("<=", value, high)), Kind.FLAG)


def arithmetic(sign: str, a: Expr, b: Expr) -> Expr:
    """`a + b` and the others, by the sign that the author wrote."""
    name = _ARITHMETIC[sign]
    for operand in (a, b):
        if operand.kind in (Kind.TEXT, Kind.FLAG):
            raise KindError("CEP201", f'{article(operand.kind)} cannot stand beside "{sign}"')
    return _fold({"add": _sum, "sub": _sum, "mul": _product, "div": _quotient, "mod": _modulo}[name](name, a, b))


def _sum(name: str, a: Expr, b: Expr) -> Op:
    kinds = (a.kind, b.kind)
    if kinds == (Kind.TIME, Kind.TIME) and name == "sub":
        return Op(name, (a, b), Kind.DURATION)
    if kinds == (Kind.TIME, Kind.DURATION):
        return Op(name, (a, b), Kind.TIME)
    if kinds == (Kind.DURATION, Kind.TIME) and name == "add":
        return Op(name, (b, a), Kind.TIME)
    a, b = unify(a, b, "CEP201")
    if a.kind is Kind.TIME:
        raise KindError("CEP201", "two times cannot be added", "their difference is a duration")
    return Op(name, (a, b), a.kind)


def _product(name: str, a: Expr, b: Expr) -> Op:
    if b.kind in (Kind.MONEY, Kind.DURATION):
        a, b = b, a
    if a.kind in (Kind.MONEY, Kind.DURATION) and b.kind is Kind.INTEGER:
        return Op(name, (a, b), a.kind)
    if a.kind is Kind.MONEY and b.kind is Kind.NUMBER:
        return Op(name, (to_number(a), b), Kind.NUMBER)
    if Kind.TIME in (a.kind, b.kind) or a.kind in (Kind.MONEY, Kind.DURATION):
        raise KindError("CEP201", f"{article(a.kind)} cannot be multiplied by {article(b.kind)}")
    a, b = unify(a, b, "CEP201")
    return Op(name, (a, b), a.kind)


def _quotient(name: str, a: Expr, b: Expr) -> Op:
    if a.kind is b.kind is Kind.DURATION:
        return Op(name, (Op("seconds", (a,), Kind.NUMBER), Op("seconds", (b,), Kind.NUMBER)), Kind.NUMBER)
    if {a.kind, b.kind} <= set(_NUMERIC):
        return Op(name, (to_number(a), to_number(b)), Kind.NUMBER)
    hint = (
        "hours(x), minutes(x) or seconds(x) makes a number of a duration" if Kind.DURATION in (a.kind, b.kind) else None
    )
    raise KindError("CEP201", f"{article(a.kind)} cannot be divided by {article(b.kind)}", hint)


def _modulo(name: str, a: Expr, b: Expr) -> Op:
    a, b = unify(a, b, "CEP201")
    if a.kind is Kind.TIME:
        raise KindError("CEP201", "a time has no remainder")
    return Op(name, (a, b), a.kind)


def negative(value: Expr) -> Expr:
    """`-value`."""
    if value.kind not in (*_NUMERIC, Kind.DURATION):
        raise KindError("CEP201", f'{article(value.kind)} cannot stand after "-"')
    if isinstance(value, Const):
        assert not isinstance(value.value, str)
        return Const(-value.value, value.kind)
    return Op("neg", (value,), value.kind)


def _fold(op: Op) -> Expr:
    """The constant that an operation on constants has, unless it has none."""
    a, b = op.args
    if not (isinstance(a, Const) and isinstance(b, Const)) or (op.name in ("div", "mod") and b.value == 0):
        return op
    assert isinstance(a.value, int | float)
    assert isinstance(b.value, int | float)
    try:
        value = _decimal(op.name, a.value, b.value) if op.kind is Kind.NUMBER else _FOLD[op.name](a.value, b.value)
    except OverflowError:
        value = float("inf")
    if not abs(value) < (_INT64 if isinstance(value, int) else float("inf")):
        raise KindError("CEP106", "the result does not fit in 64 bits")
    return Const(value, op.kind)


def _decimal(name: str, a: float, b: float) -> float:
    """Literals are decimals: 0.1 + 0.2 is 0.3, which money is compared with exactly."""
    if name not in ("add", "sub", "mul"):
        return _FOLD[name](a, b)
    exact = Context(prec=40)
    left, right = Decimal(repr(a)), Decimal(repr(b))
    return float({"add": exact.add, "sub": exact.subtract, "mul": exact.multiply}[name](left, right))


def conjunction(parts: Sequence[Expr | None]) -> Expr | None:
    """The parts that are there, and-ed; None when there is none."""
    present = [part for part in parts if part is not None]
    return logic("and", present) if present else None


def logic(name: str, operands: Sequence[Expr]) -> Expr:
    """A chain of `and` or `or` as a balanced tree of pairs, so that long chains stay shallow."""
    if len(operands) == 1:
        return operands[0]
    middle = (len(operands) + 1) // 2
    return Op(name, (logic(name, operands[:middle]), logic(name, operands[middle:])), Kind.FLAG)


def member_of(value: Expr, items: Sequence[Const]) -> Expr:
    """`value in [items]`, the items in the value's kind."""
    if value.kind is Kind.INTEGER and any(item.kind is Kind.NUMBER for item in items):
        value = to_number(value)
    converted = []
    for item in items:
        one, other = unify(value, item)
        if one.kind is not value.kind or not isinstance(other, Const):
            raise KindError("CEP202", f"{article(value.kind)} cannot be in a list that holds {article(item.kind)}")
        converted.append(other)
    if isinstance(value, Const):
        return Const(value in converted, Kind.FLAG)
    return Op("in", (value, *converted), Kind.FLAG)


def read_as(kind: Kind, text: str) -> Const:
    """The text of a list's or a table's entry as a constant of a kind. Raises KindError."""
    try:
        return Const(_READ[kind](text), kind)
    except (ValueError, ArithmeticError, KeyError):
        raise KindError("CEP202", f'the entry "{text[:40]}" is not {article(kind)}') from None


def _whole_number(text: str) -> int:
    value = int(text)
    if abs(value) >= _INT64:
        raise ValueError
    return value


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0.0:
        raise ValueError
    return value


def _exact_money(text: str) -> int:
    units = Decimal(text) * MONEY_UNITS
    if units != units.to_integral_value() or abs(units) >= _INT64:
        raise ValueError
    return int(units)


_READ: dict[Kind, Callable[[str], str | float | int | bool]] = {
    Kind.TEXT: str,
    Kind.INTEGER: _whole_number,
    Kind.NUMBER: _finite,
    Kind.MONEY: _exact_money,
    Kind.FLAG: {"true": True, "false": False}.__getitem__,
    Kind.TIME: time_us,
}
