"""Expressions → instructions, columns and constants.

A `Coder` collects what all rules need: instructions, constants, and the columns that are worked out. What a name
means depends on where the expression stands, so the caller brings a `Loads` that says where each leaf is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

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
)
from cep.lang.checked.schema import Kind
from cep.layout.columns import MONEY_UNITS, TIME_SLOT, ColumnSpec
from cep.layout.expressions import (
    STACK_DEPTH,
    CalendarColumn,
    ComputedColumn,
    Derivation,
    DerivedColumn,
    FloatFunction,
    Opcode,
)

Load = tuple[Opcode, int]
Loads = Callable[[Expr], Load]  # of a leaf, or of a derivation of leaves

SCALES = {Kind.MONEY: MONEY_UNITS, Kind.INTEGER: 1, Kind.DURATION: 1, Kind.TIME: 1, Kind.FLAG: 1}
UNIT_US = {"seconds": 1_000_000, "minutes": 60_000_000, "hours": 3_600_000_000, "days": 86_400_000_000}
INTEGER_OPS = {
    "add": Opcode.ADD_I,
    "sub": Opcode.SUB_I,
    "mul": Opcode.MUL_I,
    "mod": Opcode.MOD_I,
    "min2": Opcode.MIN_I,
    "max2": Opcode.MAX_I,
}
FLOAT_OPS = {
    "add": Opcode.ADD_F,
    "sub": Opcode.SUB_F,
    "mul": Opcode.MUL_F,
    "mod": Opcode.MOD_F,
    "div": Opcode.DIV_F,
    "min2": Opcode.MIN_F,
    "max2": Opcode.MAX_F,
}
COMPARISONS = {
    # name: (integer, float, operands swapped)
    "eq": (Opcode.EQ_I, Opcode.EQ_F, False),
    "ne": (Opcode.NE_I, Opcode.NE_F, False),
    "lt": (Opcode.LT_I, Opcode.LT_F, False),
    "le": (Opcode.LE_I, Opcode.LE_F, False),
    "gt": (Opcode.LT_I, Opcode.LT_F, True),
    "ge": (Opcode.LE_I, Opcode.LE_F, True),
}
FUNCTIONS = {
    "neg": FloatFunction.NEG,
    "abs": FloatFunction.ABS,
    "round": FloatFunction.ROUND,
    "floor": FloatFunction.FLOOR,
    "ceil": FloatFunction.CEIL,
    "sqrt": FloatFunction.SQRT,
    "ln": FloatFunction.LN,
    "log10": FloatFunction.LOG10,
}
TEXT_TESTS = {"matches", "starts_with", "ends_with", "contains", "cidr", "text_lt", "text_le", "text_gt", "text_ge"}
TEXT_OPS = {*TEXT_TESTS, "lower", "upper", "length"}
DERIVATIONS = {*TEXT_OPS, "lookup", "listed", "rostered", "hour_of", "weekday_of", "day_of", "scheduled", "call"}
LEAVES = (FieldRef, KeyRef, CaptureRef, CaptureAggregate, GroupCapture, LatestRef, Aggregate)
IN_CHAIN_MAX = 4  # a longer list of texts is looked up once for each distinct text


def is_float(kind: Kind) -> bool:
    """Whether words of this kind are floats."""
    return kind is Kind.NUMBER


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and all its parts; the arguments of aggregates stay closed."""
    waiting = [expr]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, Op):
            waiting += reversed(part.args)


def is_derived(expr: Expr) -> bool:
    """Whether the expression is worked out for whole columns, outside of the kernels."""
    if not isinstance(expr, Op):
        return False
    if expr.name == "in":
        arg = expr.args[0]
        has_no_column = isinstance(arg, Aggregate | CaptureAggregate) and arg.function == "top"
        return arg.kind is Kind.TEXT and len(expr.args) > IN_CHAIN_MAX and not has_no_column
    return expr.name in DERIVATIONS


def derivation(op: Op) -> tuple[Derivation, tuple[Expr, ...]]:
    """A derivation and its arguments; the constants after the first one are its parameters, those of a call not."""
    if op.name == "call":
        parameters, args = _texts(op.args[:1]), op.args[1:]
    else:
        parameters, args = _texts(op.args[1:]), op.args[:1]
    if op.name == "in":
        parameters = tuple(sorted(set(parameters)))
    return Derivation(op.name, parameters, tuple(arg.kind.value for arg in args), op.kind.value), args


def _texts(consts: tuple[Expr, ...]) -> tuple[str, ...]:
    return tuple(str(const.value) for const in consts if isinstance(const, Const))


def as_fields(expr: Expr) -> Expr:
    """An expression about one captured or latest event as one about that event when it came."""
    if isinstance(expr, CaptureRef):
        return FieldRef(expr.event, expr.field, expr.kind)
    if isinstance(expr, LatestRef):
        return FieldRef(expr.source.event, expr.field, expr.kind)
    if isinstance(expr, Op):
        return replace(expr, args=tuple(map(as_fields, expr.args)))
    return expr


def conjuncts(expr: Expr | None) -> list[Expr]:
    """The operands of the outermost `and`s."""
    if expr is None:
        return []
    if isinstance(expr, Op) and expr.name == "and":
        return [part for arg in expr.args for part in conjuncts(arg)]
    return [expr]


def has_aggregate(expr: Expr) -> bool:
    """Whether the expression reads a window."""
    return any(isinstance(part, Aggregate) for part in walk(expr))


def all_of(conditions: list[Expr]) -> Expr | None:
    """The conjunction; None of none."""
    if not conditions:
        return None
    return conditions[0] if len(conditions) == 1 else Op("and", tuple(conditions), Kind.FLAG)


@dataclass(slots=True)
class Coder:
    """What all rules of a program share. Base columns come first, then the ones worked out, features last."""

    columns: list[ColumnSpec]
    fields: dict[tuple[int, str], int]  # (event, field) → base slot
    derived: list[DerivedColumn | ComputedColumn] = field(default_factory=list)
    calendars: list[CalendarColumn] = field(default_factory=list)
    code: list[tuple[int, int]] = field(default_factory=list)
    consts: list[int] = field(default_factory=list)
    const_texts: list[tuple[int, str]] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)  # columns worked out that alerts read of captured events
    _known: dict[object, int] = field(default_factory=dict)
    _slots: int = 0

    def __post_init__(self) -> None:
        self._slots = len(self.columns)

    @property
    def slots(self) -> int:
        """How many columns there are by now."""
        return self._slots

    def new_slot(self) -> int:
        """A new column behind all others."""
        self._slots += 1
        return self._slots - 1

    def slot(self, ref: FieldRef) -> int:
        """The base column of a field."""
        return TIME_SLOT if ref.field == "time" else self.fields[ref.event, ref.field]

    def worked_out(self) -> Iterator[tuple[Expr, int]]:
        """What was made a column, in the order of making, and the column."""
        for what, slot in self._known.items():
            if isinstance(what, tuple) and what[0] == "column":
                yield what[2], slot

    def stored(self, slot: int) -> int:
        """Where a captured event keeps column `slot`: the decoded columns in place, then those that alerts show.

        A feature's column has a negative place until the features' plans are made.
        """
        if 0 <= slot < len(self.columns):
            return slot
        if slot not in self.shown:
            self.shown.append(slot)
        return len(self.columns) + self.shown.index(slot)

    def value_slot(self, event: int, expr: Expr) -> int:
        """The column of an expression over one event: the field's own, or one that is worked out."""
        if isinstance(expr, FieldRef):
            return self.slot(expr)
        key = ("column", event, expr)
        if key not in self._known:
            made = self._derived(event, expr) if is_derived(expr) else self._computed(event, expr)
            self._known[key] = made.slot
            self.derived.append(made)
        return self._known[key]

    def _derived(self, event: int, expr: Expr) -> DerivedColumn:
        assert isinstance(expr, Op)
        what, args = derivation(expr)
        sources = tuple(self.value_slot(event, arg) for arg in args)
        return DerivedColumn(self.new_slot(), event, sources, what)

    def _computed(self, event: int, expr: Expr) -> ComputedColumn:
        code = self.expression(expr, self.event_load)
        return ComputedColumn(self.new_slot(), event, code, is_float(expr.kind))

    def calendar_slot(self, zone: str, length_us: int) -> int:
        """The column of the ends of a calendar's stretches."""
        key = ("calendar", zone, length_us)
        if key not in self._known:
            self._known[key] = self.new_slot()
            self.calendars.append(CalendarColumn(self._known[key], zone, length_us))
        return self._known[key]

    def event_load(self, leaf: Expr) -> Load:
        """The load of a field of the event being judged, or of a derivation of its fields."""
        events = {part.event for part in walk(leaf) if isinstance(part, FieldRef)}
        assert len(events) == 1, f"{leaf} has no meaning in a filter on one event"
        return Opcode.EVENT, self.value_slot(events.pop(), leaf)

    def constant(self, const: Const) -> int:
        """The place of a constant's word."""
        key = ("const", const.kind, const.value)
        if key not in self._known:
            self._known[key] = len(self.consts)
            if const.kind is Kind.TEXT:
                self.const_texts.append((len(self.consts), str(const.value)))
                self.consts.append(0)
            elif is_float(const.kind):
                self.consts.append(int(np.float64(const.value).view(np.int64)))
            else:
                self.consts.append(int(const.value))
        return self._known[key]

    def expression(self, expr: Expr, loads: Loads) -> int:
        """The offset of an expression's instructions."""
        instructions = list(self._instructions(expr, loads))
        assert _depth(instructions) <= STACK_DEPTH, "the checker bounds how deep an expression is"
        key = ("code", tuple(instructions))
        if key not in self._known:
            self._known[key] = len(self.code)
            self.code.extend((int(op), arg) for op, arg in instructions)
            self.code.append((int(Opcode.END), 0))
        return self._known[key]

    def _instructions(self, expr: Expr, loads: Loads) -> Iterator[Load]:
        if isinstance(expr, Const):
            yield Opcode.CONST, self.constant(expr)
        elif isinstance(expr, CaptureAggregate) and expr.function == "avg":
            assert expr.argument is not None
            total = replace(expr, function="sum", kind=expr.argument.kind)
            values = replace(expr, function="count", kind=Kind.INTEGER)
            yield from self._instructions(Op("div", (total, values), Kind.NUMBER), loads)
        elif isinstance(expr, GroupCapture) and expr.function == "avg":
            summed = replace(expr, function="sum", kind=expr.arguments[0].kind)
            counted = replace(expr, function="count", kind=Kind.INTEGER)
            yield from self._instructions(Op("div", (summed, counted), Kind.NUMBER), loads)
        elif isinstance(expr, LEAVES):
            yield loads(expr)
        else:
            yield from self._operation(expr, loads)

    def _operation(self, op: Op, loads: Loads) -> Iterator[Load]:
        name, args = op.name, op.args
        if is_derived(op):
            yield loads(op)
        elif name in ("and", "or"):
            yield from self._instructions(args[0], loads)
            for arg in args[1:]:
                yield from self._instructions(arg, loads)
                yield (Opcode.AND if name == "and" else Opcode.OR), 0
        elif name == "in":
            for i, choice in enumerate(args[1:]):
                yield from self._instructions(Op("eq", (args[0], choice), Kind.FLAG), loads)
                if i:
                    yield Opcode.OR, 0
        elif name in COMPARISONS:
            integer, real, swapped = COMPARISONS[name]
            for arg in reversed(args) if swapped else args:
                yield from self._instructions(arg, loads)
            yield (real if is_float(args[0].kind) else integer), 0
        elif name == "not":
            yield from self._instructions(args[0], loads)
            yield Opcode.NOT, 0
        elif name == "missing":
            yield from self._instructions(args[0], loads)
            yield (Opcode.MISSING_F if is_float(args[0].kind) else Opcode.MISSING_I), 0
        else:
            yield from self._arithmetic(op, loads)

    def _arithmetic(self, op: Op, loads: Loads) -> Iterator[Load]:
        name, args = op.name, op.args
        if name == "given":
            for arg in args:
                yield from self._instructions(arg, loads)
            yield (Opcode.GIVEN_F if is_float(op.kind) else Opcode.GIVEN_I), 0
        elif name in UNIT_US:
            yield from self._instructions(args[0], loads)
            yield Opcode.TO_FLOAT, UNIT_US[name]
        elif name == "convert" and op.kind is Kind.MONEY:
            yield from self._instructions(args[0], loads)
            yield Opcode.CONST, self.constant(Const(MONEY_UNITS, Kind.INTEGER))
            yield Opcode.MUL_I, 0
        elif name == "convert":
            yield from self._as_float(args[0], loads)
        elif name == "km":
            for arg in args:
                yield from self._as_float(arg, loads)
            yield Opcode.KM, 0
        elif is_float(op.kind) and name in FUNCTIONS:
            yield from self._as_float(args[0], loads)
            yield Opcode.CALL_F, int(FUNCTIONS[name])
        elif is_float(op.kind):
            for arg in args:
                yield from self._as_float(arg, loads)
            yield FLOAT_OPS[name], 0
        else:
            yield from self._integer(op, loads)

    def _integer(self, op: Op, loads: Loads) -> Iterator[Load]:
        name, args = op.name, op.args
        if name in INTEGER_OPS:
            for arg in args:
                yield from self._instructions(arg, loads)
            yield INTEGER_OPS[name], 0
            return
        if name == "abs":
            yield from self._instructions(args[0], loads)
            yield Opcode.ABS_I, 0
            return
        assert name == "neg", f"{name} has no form in whole numbers"
        yield from self._instructions(Op("sub", (Const(0, op.kind), args[0]), op.kind), loads)

    def _as_float(self, expr: Expr, loads: Loads) -> Iterator[Load]:
        yield from self._instructions(expr, loads)
        if not is_float(expr.kind):
            yield Opcode.TO_FLOAT, SCALES[expr.kind]


def _depth(instructions: list[Load]) -> int:
    """How much of the stack the instructions need."""
    depth = deepest = 0
    for opcode, _ in instructions:
        if opcode in (Opcode.CONST, Opcode.EVENT, Opcode.RUN):
            depth += 1
        elif opcode is Opcode.KM:
            depth -= 3
        elif opcode not in (
            Opcode.NOT,
            Opcode.TO_FLOAT,
            Opcode.MISSING_I,
            Opcode.MISSING_F,
            Opcode.CALL_F,
            Opcode.ABS_I,
        ):
            depth -= 1
        deepest = max(deepest, depth)
    return deepest
