"""Expressions → instructions, columns and constants.

A `Coder` collects what all rules need: instructions, constants, and the columns that are worked out. What a name
means depends on where the expression stands, so the caller brings a `Loads` that says where each leaf is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

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
)
from cep.layout import (
    MONEY_UNITS,
    STACK_DEPTH,
    TIME_SLOT,
    ColumnSpec,
    ComputedColumn,
    FloatFunction,
    Opcode,
    TextColumn,
)

Load = tuple[Opcode, int]
Loads = Callable[[Expr, "TextTest | None"], Load]

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
TEXT_OPS = {"matches", "starts_with", "ends_with", "contains", "cidr", "lower", "upper", "length"}
LEAVES = (FieldRef, KeyRef, CaptureRef, CaptureAggregate, GroupCapture, LatestRef, Aggregate)
IN_CHAIN_MAX = 4  # a longer list of texts is looked up once for each distinct text


@dataclass(frozen=True, slots=True)
class TextTest:
    """Operations on a text leaf, innermost first: (operation, patterns)."""

    steps: tuple[tuple[str, tuple[str, ...]], ...]


def is_float(kind: Kind) -> bool:
    """Whether words of this kind are floats."""
    return kind is Kind.NUMBER


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and all its parts; the arguments of aggregates stay closed."""
    yield expr
    if isinstance(expr, Op):
        for part in expr.args:
            yield from walk(part)


def conjuncts(expr: Expr | None) -> list[Expr]:
    """The operands of the outermost `and`s."""
    if expr is None:
        return []
    if isinstance(expr, Op) and expr.name == "and":
        return [part for arg in expr.args for part in conjuncts(arg)]
    return [expr]


@dataclass(slots=True)
class Coder:
    """What all rules of a program share. Base columns come first, then the ones worked out, features last."""

    columns: list[ColumnSpec]
    fields: dict[tuple[int, str], int]  # (event, field) → base slot
    texts: list[TextColumn] = field(default_factory=list)
    computed: list[ComputedColumn] = field(default_factory=list)
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

    def text_slot(self, source: int, test: TextTest) -> int:
        """The column that holds the outcome of text operations on column `source`."""
        for operation, patterns in test.steps:
            key = ("text", source, operation, patterns)
            if key not in self._known:
                self._known[key] = self.new_slot()
                self.texts.append(TextColumn(self._known[key], source, operation, patterns))
            source = self._known[key]
        return source

    def stored(self, slot: int) -> int:
        """Where a captured event keeps column `slot`: the decoded columns in place, then those that alerts show."""
        if slot < len(self.columns):
            return slot
        if slot not in self.shown:
            self.shown.append(slot)
        return len(self.columns) + self.shown.index(slot)

    def value_slot(self, event: int, expr: Expr) -> int:
        """The column of an aggregate's argument: the field's own, or one that is computed."""
        if isinstance(expr, FieldRef):
            return self.slot(expr)
        key = ("computed", event, expr)
        if key not in self._known:
            code = self.expression(expr, self.event_load)
            self._known[key] = self.new_slot()
            self.computed.append(ComputedColumn(self._known[key], event, code, is_float(expr.kind)))
        return self._known[key]

    def event_load(self, leaf: Expr, test: TextTest | None) -> Load:
        """The load of a field of the event being judged."""
        assert isinstance(leaf, FieldRef), f"{leaf} has no meaning in a filter on one event"
        slot = self.slot(leaf)
        return Opcode.EVENT, self.text_slot(slot, test) if test else slot

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
            yield loads(expr, None)
        else:
            yield from self._operation(expr, loads)

    def _operation(self, op: Op, loads: Loads) -> Iterator[Load]:
        name, args = op.name, op.args
        text = _text_test(op)
        if text is not None:
            yield loads(*text)
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
        if name in UNIT_US:
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


def _text_test(op: Op) -> tuple[Expr, TextTest] | None:
    """The leaf and the chain of text operations that `op` is, if it is one."""
    name, arg = op.name, op.args[0]
    if name == "in" and arg.kind is Kind.TEXT and len(op.args) > IN_CHAIN_MAX and not isinstance(arg, KeyRef):
        pass
    elif name not in TEXT_OPS:
        return None
    patterns = tuple(str(part.value) for part in op.args[1:] if isinstance(part, Const))
    step = (name, tuple(sorted(set(patterns))) if name == "in" else patterns)
    if isinstance(arg, Op):
        inner = _text_test(arg)
        assert inner is not None, f"{arg.name} gives no text"
        return inner[0], TextTest((*inner[1].steps, step))
    return arg, TextTest((step,))


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
